"""How the service is put together: settings, queues, schedule, entry points."""
