"""What the console's templates load: times in the format of the service, and how often pages refresh."""

from datetime import datetime

from django import template
from django.utils.formats import date_format, get_format
from django.utils.html import format_html
from django.utils.timezone import localtime

from durable.conf import conf

register = template.Library()


@register.simple_tag
def poll_interval() -> int:
    """Return the seconds after which a page refreshes."""
    return conf.CONSOLE_POLL_INTERVAL


@register.filter
def short_time(at: datetime) -> str:
    """Return a time as DATETIME_FORMAT has it; its tooltip has the seconds."""
    local = local_time(at)
    return element(local, date_format(local, "DATETIME_FORMAT"))


@register.filter
def exact_time(at: datetime) -> str:
    """Return the same with seconds."""
    local = local_time(at)
    return element(local, with_seconds(local))


def local_time(at: datetime) -> datetime:
    """Return a time in the zone of the service."""
    try:
        return localtime(at)
    except (
        OverflowError
    ):  # in the first and the last hours that Python knows, which a message may have
        return at


def with_seconds(local: datetime) -> str:
    # Django has no such format. "i" is the minute in all formats that have one.
    return date_format(local, get_format("DATETIME_FORMAT").replace("i", "i:s"))


def element(local: datetime, shown: str) -> str:
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', local.isoformat(), with_seconds(local), shown
    )
