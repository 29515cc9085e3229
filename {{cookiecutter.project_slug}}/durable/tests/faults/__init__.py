"""What happens when parts fail or stop: slower than the other tests, so `make test-faults` runs them."""
