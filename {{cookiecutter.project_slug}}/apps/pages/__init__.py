"""The frame of all pages, and the home page."""
