"""Filters of the console's templates: times in the format of the service."""

from datetime import datetime

from django import template
from django.utils.formats import date_format, get_format
from django.utils.html import format_html
from django.utils.timezone import localtime

register = template.Library()


@register.filter
def short_time(at: datetime) -> str:
    """Return a time as DATETIME_FORMAT has it; its tooltip has the seconds."""
    local = localtime(at)
    shown = date_format(local, "DATETIME_FORMAT")
    return element(local, shown)


@register.filter
def exact_time(at: datetime) -> str:
    """Return the same with seconds."""
    local = localtime(at)
    return element(local, with_seconds(local))


def with_seconds(local: datetime) -> str:
    # Django has no such format. "i" is the minute in all formats that have one.
    return date_format(local, get_format("DATETIME_FORMAT").replace("i", "i:s"))


def element(local: datetime, shown: str) -> str:
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', local.isoformat(), with_seconds(local), shown
    )
