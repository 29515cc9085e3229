"""An example: a contact form whose mails cannot be lost. Nothing else needs this app."""
