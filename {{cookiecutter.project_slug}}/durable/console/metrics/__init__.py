"""The service in numbers, for Prometheus: `/metrics`."""
