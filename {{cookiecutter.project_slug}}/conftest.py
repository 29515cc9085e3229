"""Loads the plugin that starts the servers of the tests, before Django reads its settings."""

pytest_plugins = ["durable.testing"]
