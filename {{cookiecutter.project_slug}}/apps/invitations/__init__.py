"""An example: invitations by mail, each with a link that works once, and not for ever."""
