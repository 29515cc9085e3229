"""Settings: base for all, then one of local, production, test. Values come from the environment."""
