"""What the service does. The same in every render: options live in config."""
