"""An example: invitations by email, with links that work once and expire."""
