"""Redacts tokens in the log, which contains the path of each request."""

import logging
from typing import Any

from django.dispatch import receiver
from django_structlog import signals

from apps.invitations.apps import InvitationsConfig

# The loggers of Django and the web server that log paths.
LOGGERS = ("django.request", "django.security.csrf", "uvicorn.access")


class RedactToken(logging.Filter):
    """Redacts tokens in the records of libraries."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Pass each record on, without the token."""
        if isinstance(record.args, tuple):
            record.args = tuple(map(redact_token, record.args))
        record.__dict__.pop("request", None)  # its representation contains the path
        return True


def redact_token(value: Any) -> Any:
    """Return a text without the token, and any other value unchanged."""
    return InvitationsConfig.secret.sub("hidden", value) if isinstance(value, str) else value


@receiver(
    [
        signals.bind_extra_request_metadata,
        signals.bind_extra_request_finished_metadata,
        signals.bind_extra_request_failed_metadata,
    ]
)
def redact_request(log_kwargs: dict[str, Any], **_: object) -> None:
    """Redact tokens in the lines of django-structlog."""
    log_kwargs["request"] = redact_token(log_kwargs["request"])
