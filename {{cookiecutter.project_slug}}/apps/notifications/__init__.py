"""Notifications inside the service, stored as rows until the user reads them."""
