"""The console: staff see all work and steer it."""
