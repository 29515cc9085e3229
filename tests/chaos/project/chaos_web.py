"""Web, with seconds where production has minutes, as for the rules of its alerts."""

from datetime import timedelta

import django

django.setup()

from durable.console.metrics import database, scrape, workers  # noqa: E402 - needs Django

from config.asgi import application  # noqa: E402 - the same

database.RECENT = timedelta(seconds=10)
workers.SILENT_AFTER = 3.0  # seconds
scrape.TIMEOUT = 0.8  # seconds; Prometheus waits for a second here

__all__ = ["application"]
