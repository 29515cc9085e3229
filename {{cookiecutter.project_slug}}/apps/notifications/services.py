"""Functions that create, mark and count notifications."""

from functools import partial

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.text import Truncator

from apps.notifications.models import Notification
from apps.notifications.signals import announced, notified
from apps.users.models import User
from durable.api import correlation_id

MAX_COUNTED = 99  # the page shows "99+", so counting stops there


def notify(user: User, kind: str, title: str, body: str = "", url: str = "") -> Notification:
    """Save a notification in the current transaction; send `notified` after its commit.

    Args:
        user: the recipient.
        kind: the topic as a word for programs, such as `booking`.
        title: one line of text, truncated to 200 characters.
        body: more plain text.
        url: the page to open, a path of this service.

    Raises:
        ValueError: `url` is not a path of this service.
    """
    validate_path(url)
    notification = Notification.objects.create(
        user=user,
        kind=kind,
        title=Truncator(title).chars(200),
        body=body,
        url=url,
        correlation_id=correlation_id(),
    )
    transaction.on_commit(
        partial(notified.send_robust, sender=Notification, notification=notification)
    )
    return notification


def validate_path(url: str) -> None:
    """Raise ValueError for a link to another site."""
    if url and not is_path(url):
        raise ValueError(f"url: {url!r} is not a path of this service, such as /bookings/1/")


def is_path(url: str) -> bool:
    """Return whether browsers treat a link as a path of this service, unlike `//host` or `/\\host`."""
    return url.startswith("/") and url_has_allowed_host_and_scheme(url, allowed_hosts=None)


def mark_read(notifications: QuerySet[Notification]) -> int:
    """Mark unread notifications as read; return how many there were."""
    return notifications.filter(read_at__isnull=True).update(read_at=Now())


def count_unread(user_id: int) -> int:
    """Return the number of a user's unread notifications, at most MAX_COUNTED + 1."""
    unread = Notification.objects.filter(user_id=user_id, read_at__isnull=True).order_by()
    return unread[: MAX_COUNTED + 1].count()


def announce_to_staff(title: str, url: str = "") -> None:
    """Send `announced` after the commit, for all staff with an open page; nothing is stored.

    Args:
        title: one line of text.
        url: the page to open, a path of this service.

    Raises:
        ValueError: `url` is not a path of this service.
    """
    validate_path(url)
    transaction.on_commit(
        partial(announced.send_robust, sender=announce_to_staff, title=title, url=url)
    )
