"""Shortens Celery's log lines about messages that become no task: they hold the whole message, with its secrets.

Celery 5.7 has no hook for these lines, so a filter of its loggers rewrites them.
durable/tests/test_log_lines.py fails when Celery's words change.
"""

import logging
from typing import Any

from celery.worker.consumer import consumer

TEXTS: Any = consumer  # the stubs lack them
CANNOT_CONVERT_ETA = (
    "Couldn't convert ETA %r to timestamp: %r. Task: %r"  # of celery.worker.strategy
)
# Celery's text: ours, and how many of Celery's values it has. `on_unknown_task` and the like add the
# names of the task and of the queue, and the ids. `%s` of an error to decode lacks the body, `%r` has it.
SHORT = {
    TEXTS.UNKNOWN_TASK_ERROR: (
        "Received unregistered task of type %s: its message is discarded",
        1,
    ),
    TEXTS.INVALID_TASK_ERROR: ("Received invalid task message: %s: it is discarded", 1),
    TEXTS.UNKNOWN_FORMAT: ("Received a message of no task: it is discarded", 0),
    TEXTS.MESSAGE_DECODE_ERROR: ("Can't decode message body: %s [type:%r encoding:%r]", 3),
    CANNOT_CONVERT_ETA: ("Couldn't convert ETA %r to timestamp: %r", 2),
}


def shorten(record: logging.LogRecord) -> bool:
    """Rewrite a line that holds a message; keep every line."""
    if found := SHORT.get(str(record.msg)):
        record.msg, count = found
        record.args = tuple(record.args or ())[:count]
    return True


def shorten_lines() -> None:
    """Shorten the lines of this process from now on."""
    for name in ("celery.worker.consumer.consumer", "celery.worker.strategy"):
        logging.getLogger(name).addFilter(shorten)
