"""A log filter for outages of the channel layer: one line instead of one per second."""

import logging
from threading import Lock

QUIET_PERIOD = 60.0  # seconds; twice the longest delay between two attempts of a page


class OncePerOutage(logging.Filter):
    """Passes a record if there was none in the QUIET_PERIOD before it."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = Lock()
        self.latest = 0.0  # as LogRecord.created

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether this is the first record of an outage."""
        with self.lock:
            before, self.latest = self.latest, record.created
        return record.created - before > QUIET_PERIOD
