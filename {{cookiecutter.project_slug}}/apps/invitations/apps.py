import logging
import re

from django.apps import AppConfig


class InvitationsConfig(AppConfig):
    name = "apps.invitations"
    home = "invitations:list"
    summary = "Links that are sent by mail, work once and run out, and whose secret no table holds."
    # What neither the log nor Sentry is told (logs.py, config/settings/sentry.py).
    secret = re.compile(r"(?<=/invitations/accept/)[^/\s?'\">]+")

    def ready(self) -> None:
        from apps.invitations import logs  # noqa: PLC0415 - it listens from here on

        for name in logs.LOGGERS:
            logging.getLogger(name).addFilter(logs.HideToken())
