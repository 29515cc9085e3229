"""Formats of each language that replace Django's (FORMAT_MODULE_PATH)."""
