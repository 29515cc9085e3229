"""Loads what all tests share, before Django reads its settings."""

pytest_plugins = ["durable.testing.servers", "durable.testing.workers"]
