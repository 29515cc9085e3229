"""The console: staff see and manage all work."""
