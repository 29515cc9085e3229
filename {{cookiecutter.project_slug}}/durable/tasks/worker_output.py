"""What Celery 5.7 prints past its loggers, as log lines; test_log_lines.py shows when this can go."""

import logging
import os

from celery.apps import worker
from celery.utils.log import get_multiprocessing_logger


def redirect_to_log() -> None:
    """Log what a worker prints when it stops, and how its pool processes ended."""
    worker.safe_say = log_notice  # type: ignore[attr-defined] # the stubs lack it
    if pool := get_multiprocessing_logger():
        pool.propagate = True  # else Python prints its errors as mere text
        pool.setLevel(logging.WARNING)


def log_notice(text: str, _stream: object = None) -> None:
    """Log a line from a signal handler.

    Not through a logger: the handler may interrupt one that is writing, and a stream refuses that.
    """
    record = logging.LogRecord("celery.apps.worker", logging.INFO, "", 0, text, (), None)
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler):
            os.write(handler.stream.fileno(), f"{handler.format(record)}\n".encode())
