"""Checks of ADMINS: `manage.py check --tag health`, and one more with `--deploy`."""

from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, register

from durable.mail.addresses import is_address

HINT = "Write addresses, separated by commas: ADMINS=ann@example.com,bob@example.com"


def address_of(entry: Any) -> Any:
    """Return the address of an entry of ADMINS, which may be a pair of name and address."""
    pair = isinstance(entry, tuple | list) and len(entry) == 2  # noqa: PLR2004 - name and address
    return entry[1] if pair else entry


@register("health")
def check_addresses(**_: Any) -> list[CheckMessage]:
    """Check the addresses of ADMINS and SERVER_EMAIL."""
    admins: Any = settings.ADMINS
    if not isinstance(admins, list | tuple):
        return [Error(f"ADMINS: {admins!r} is not a list", hint=HINT, id="health.E001")]
    errors: list[CheckMessage] = [
        Error(f"ADMINS: {entry!r} is not one email address", hint=HINT, id="health.E001")
        for entry in admins
        if not is_address(address_of(entry))
    ]
    if not is_address(settings.SERVER_EMAIL):
        text = f"SERVER_EMAIL: {settings.SERVER_EMAIL!r} is not one email address"
        errors.append(
            Error(text, hint="It is the sender of the emails to ADMINS.", id="health.E002")
        )
    return errors


@register("health", deploy=True)
def check_admins(**_: Any) -> list[CheckMessage]:
    """Warn if there is no address for emails about problems."""
    if settings.ADMINS:
        return []
    text = (
        "ADMINS is empty, so staff get notifications about problems of the service, but no emails"
    )
    return [checks.Warning(text, hint=HINT, id="health.W001")]
