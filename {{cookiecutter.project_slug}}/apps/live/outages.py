"""What is said of a channel layer that does not answer: one line, not one a second."""

import logging
from threading import Lock

QUIET = 60.0  # seconds; twice as long as the longest pause between two attempts of a page


class OncePerOutage(logging.Filter):
    """Lets a record pass if none came in the QUIET seconds before it."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = Lock()
        self.latest = 0.0  # as in LogRecord.created

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether this is the first of its outage."""
        with self.lock:
            before, self.latest = self.latest, record.created
        return record.created - before > QUIET
