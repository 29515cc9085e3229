"""The system check of the broker's URL: `manage.py check --tag celery`."""

from typing import Any

from celery import current_app
from django.core.checks import CheckMessage, Error, register

from durable.broker.connection import TRANSPORTS


@register("celery")
def check_broker_url(**_: Any) -> list[CheckMessage]:
    """Check that the broker is a Redis, and that kombu understands its URL."""
    fault = fault_of_url()
    if not fault:
        return []
    hint = (
        "Write it as redis://:password@host:6379/0, or with rediss://, sentinel:// or redis+socket://. "
        "In the password, write %23 for #, and %2F for /."
    )
    return [Error(f"CELERY_BROKER_URL: {fault}", hint=hint, id="broker.E001")]


def fault_of_url() -> str:
    """Return what is wrong with the URL, without parts of it: they may belong to the password."""
    try:
        connection = current_app.connection_for_write()
    except (LookupError, TypeError, ValueError):
        return "kombu cannot read it"
    if connection.transport_cls not in TRANSPORTS:
        return f"{connection.transport_cls} is not supported as a broker, only Redis is"
    database = str(connection.virtual_host).strip("/")
    if database and not database.isdecimal():
        return "its database is not a number"
    return ""
