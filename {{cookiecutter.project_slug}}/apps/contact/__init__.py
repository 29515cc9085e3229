"""An example: a contact form whose emails cannot be lost. No other app needs this one."""
