"""Logs: one line per event on stderr; the lines of a request and of its tasks carry the same id."""

import logging
import os
import sys
from typing import Any

import structlog
from billiard.einfo import (  # type: ignore[attr-defined] # the stubs lack it
    ExceptionWithTraceback,
)
from structlog.processors import ExceptionRenderer
from structlog.tracebacks import ExceptionDictTransformer

from config.settings.env import env

LOG_LEVEL = env.str("LOG_LEVEL", default="INFO")
LOG_FORMAT = env.str("LOG_FORMAT", default="json")  # json or console

time_stamps = {
    "json": structlog.processors.TimeStamper(fmt="iso"),
    "console": structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
}
shared_processors: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.stdlib.PositionalArgumentsFormatter(),
    time_stamps[LOG_FORMAT],
    structlog.processors.StackInfoRenderer(),
]
# Without local variables: they may hold secrets.
tracebacks = ExceptionRenderer(ExceptionDictTransformer(show_locals=False))
renderers: dict[str, list[Any]] = {
    "json": [tracebacks, structlog.processors.JSONRenderer()],
    "console": [
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            pad_event_to=0,
            exception_formatter=structlog.dev.plain_traceback,
        )
    ],
}


# Of syslog. systemd's journal reads the number before a line, and removes it.
PRIORITIES = {"critical": 2, "error": 3, "exception": 3, "warning": 4, "info": 6, "debug": 7}


def writes_to_journal() -> bool:
    """Whether systemd's journal reads stderr: JOURNAL_STREAM names the device and the inode."""
    try:
        stderr = os.fstat(sys.stderr.fileno())
    except (AttributeError, OSError):  # closed, or replaced by a test
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{stderr.st_dev}:{stderr.st_ino}"


def with_priority(_logger: Any, level: str, text: Any) -> str:
    """Put the priority of a log line before each of its lines, as systemd expects it."""
    prefix = f"<{PRIORITIES.get(level, 6)}>"
    return prefix + str(text).replace("\n", f"\n{prefix}")


def without_second_traceback(_logger: Any, _method: str, event: Any) -> Any:
    """Drop the traceback from django-structlog's line of a failure: Django's or Celery's line has it."""
    if event["logger"].startswith("django_structlog."):
        for key in ("exc_info", "exception"):
            event.pop(key, None)
    return event


def without_celerys_data(_logger: Any, _method: str, event: Any) -> Any:
    """Drop what Celery adds to the line of a failed task: the arguments may hold secrets."""
    event.pop("data", None)
    return event


def without_pools_wrapper(_logger: Any, _method: str, event: Any) -> Any:
    """Unwrap an error of Celery's pool: the wrapper's text is the traceback once more."""
    match event.get("exc_info"):
        case (kind, ExceptionWithTraceback(exc=error), traceback):
            event["exc_info"] = (kind, error, traceback)
    return event


def make_formatter() -> logging.Formatter:
    """Return the formatter of all lines; config/server_logging.json gives it to the web server's own."""
    return structlog.stdlib.ProcessorFormatter(
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *renderers[LOG_FORMAT],
            *([with_priority] if writes_to_journal() else []),
        ],
        foreign_pre_chain=[
            *shared_processors,
            structlog.stdlib.ExtraAdder(),
            without_celerys_data,
            without_pools_wrapper,
        ],
    )


LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"service": {"()": make_formatter}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "service"}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        "django": {"handlers": [], "propagate": True},
        # django-structlog already logs every request and every task.
        "django.server": {"handlers": [], "propagate": True, "level": "ERROR"},
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.worker.control": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
        # % if cookiecutter.use_flower
        "flower.inspector": {"level": "ERROR"},  # warns until the workers have started
        # % endif
    },
}

structlog.configure(
    processors=[
        structlog.stdlib.filter_by_level,  # first, so that a line that is not logged costs nothing
        *shared_processors,
        without_second_traceback,
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
    cache_logger_on_first_use=True,
)
DJANGO_STRUCTLOG_CELERY_ENABLED = True
DJANGO_STRUCTLOG_TRUST_UPSTREAM_REQUEST_ID = True  # RequestIdMiddleware has validated it
# One line per request and one per task: at its end, with its duration.
DJANGO_STRUCTLOG_STATUS_START_LOG_LEVEL = logging.DEBUG
DJANGO_STRUCTLOG_CELERY_TASK_START_LOG_LEVEL = logging.DEBUG
