"""An example: an order is a chain of durable tasks, and is paid once whatever breaks."""
