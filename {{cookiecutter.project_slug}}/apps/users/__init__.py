"""People: a user whose email address is the login."""
