"""Loads what all tests share, before Django reads its settings."""

pytest_plugins = ["tests.servers", "tests.workers"]
