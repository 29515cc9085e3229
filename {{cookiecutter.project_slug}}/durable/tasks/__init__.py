"""What every task gets: base class, durable rows, dead letters, progress, health."""
