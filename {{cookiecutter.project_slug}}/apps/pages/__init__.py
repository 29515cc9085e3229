"""The layout of all pages, and the home page."""
