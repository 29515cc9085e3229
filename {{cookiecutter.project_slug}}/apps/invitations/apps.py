import logging
import re

from django.apps import AppConfig


class InvitationsConfig(AppConfig):
    name = "apps.invitations"
    home = "invitations:list"
    summary = "Invitation links that work once and expire. No table stores their secrets."
    # Redacted in the log and in Sentry (log_filters.py, config/settings/sentry.py).
    secret = re.compile(r"(?<=/invitations/accept/)[^/\s?'\">]+")

    def ready(self) -> None:
        from apps.invitations import log_filters  # noqa: PLC0415 - connects a receiver

        for name in log_filters.LOGGERS:
            logging.getLogger(name).addFilter(log_filters.RedactToken())
