"""What the rest of the service calls."""

from functools import partial

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.text import Truncator

from apps.notifications.models import Notification
from apps.notifications.signals import announced, notified
from apps.users.models import User

MOST_COUNTED = 99  # the bell says "99+", and counts no further


def notify(user: User, kind: str, title: str, body: str = "", url: str = "") -> Notification:
    """Save a notification in the transaction that is open; who listens is told after the commit.

    Args:
        user: who is told.
        kind: what it is about, as a word for programs: `booking`.
        title: what it says, in a line; after 200 characters it is cut.
        body: the rest, as plain text.
        url: where it leads to, a path of this service.

    Raises:
        ValueError: `url` leads elsewhere.
    """
    refuse_foreign(url)
    notification = Notification.objects.create(
        user=user, kind=kind, title=Truncator(title).chars(200), body=body, url=url
    )
    transaction.on_commit(
        partial(notified.send_robust, sender=Notification, notification=notification)
    )
    return notification


def refuse_foreign(url: str) -> None:
    """Raise ValueError for a link that leads elsewhere."""
    if url and not is_path(url):
        raise ValueError(f"url: {url!r} is not a path of this service, such as /bookings/1/")


def is_path(url: str) -> bool:
    """Say whether a link stays on this service, however a browser reads it (`//host`, `/\\host`)."""
    return url.startswith("/") and url_has_allowed_host_and_scheme(url, allowed_hosts=None)


def mark_read(notifications: QuerySet[Notification]) -> int:
    """Note the time, unless there is one; return how many were new."""
    return notifications.filter(read_at__isnull=True).update(read_at=Now())


def count_unread(user_id: int) -> int:
    """Return how much a user has not read, up to one more than MOST_COUNTED."""
    unread = Notification.objects.filter(user_id=user_id, read_at__isnull=True).order_by()
    return unread[: MOST_COUNTED + 1].count()


def announce_to_staff(title: str, url: str = "") -> None:
    """Tell who listens, after the commit, what all staff who look should see; nothing is kept of it.

    Args:
        title: what it says, in a line.
        url: where it leads to, a path of this service.

    Raises:
        ValueError: `url` leads elsewhere.
    """
    refuse_foreign(url)
    transaction.on_commit(
        partial(announced.send_robust, sender=announce_to_staff, title=title, url=url)
    )
