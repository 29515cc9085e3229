"""Users, who log in with their email address."""
