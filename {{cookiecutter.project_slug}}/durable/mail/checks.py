"""Checks that Django runs before it starts: `manage.py check --tag mail`."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from durable.mail.addresses import is_address


@register("mail")
def check_default_sender(**_: Any) -> list[CheckMessage]:
    """Refuse a DEFAULT_FROM_EMAIL with which every mail would fail."""
    if is_address(settings.DEFAULT_FROM_EMAIL):
        return []
    return [
        Error(
            f"DEFAULT_FROM_EMAIL: {settings.DEFAULT_FROM_EMAIL!r} is not one email address",
            hint='Quote a name with a comma, as in: "Acme, Inc." <noreply@example.com>',
            id="mail.E001",
        )
    ]
