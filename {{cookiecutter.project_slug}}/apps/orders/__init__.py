"""An example: an order is a chain of durable tasks, and it is charged once despite any failure."""
