"""The promises of the service, kept by real servers and a real worker."""
