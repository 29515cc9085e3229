"""What a user is told inside the service: rows, so that nothing is missed while nobody looks."""
