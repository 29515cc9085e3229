"""Keeps the secret of a link out of the log, which names each request."""

import logging
from typing import Any

from django.dispatch import receiver
from django_structlog import signals

from apps.invitations.apps import InvitationsConfig

# Those of Django and of the web server that name the path of a request.
LOGGERS = ("django.request", "django.security.csrf", "uvicorn.access")


class HideToken(logging.Filter):
    """Hides the secret in what a library logs of a request."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through, without the secret."""
        if isinstance(record.args, tuple):
            record.args = tuple(map(without_token, record.args))
        record.__dict__.pop("request", None)  # is shown with its path
        return True


def without_token(value: Any) -> Any:
    """Return a text without the secret, and anything else as it is."""
    return InvitationsConfig.secret.sub("hidden", value) if isinstance(value, str) else value


@receiver(
    [
        signals.bind_extra_request_metadata,
        signals.bind_extra_request_finished_metadata,
        signals.bind_extra_request_failed_metadata,
    ]
)
def hide_token(log_kwargs: dict[str, Any], **_: object) -> None:
    """Hide the secret in django-structlog's own lines."""
    log_kwargs["request"] = without_token(log_kwargs["request"])
