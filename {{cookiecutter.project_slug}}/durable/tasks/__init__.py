"""Tasks: base classes, durable tasks, failed tasks, progress."""
