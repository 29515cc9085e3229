"""What the rest of the service calls."""

from functools import partial

from django.db import transaction

from apps.notifications.models import Notification
from apps.notifications.signals import announced, notified
from apps.users.models import User


def notify(user: User, kind: str, title: str, body: str = "", url: str = "") -> Notification:
    """Save a notification in the transaction that is open; who listens is told after the commit.

    Args:
        user: who is told.
        kind: what it is about, as a word for programs: `booking`.
        title: what it says, in a line.
        body: the rest, as plain text.
        url: where it leads to, a path of this service.
    """
    notification = Notification.objects.create(
        user=user, kind=kind, title=title, body=body, url=url
    )
    transaction.on_commit(
        partial(notified.send_robust, sender=Notification, notification=notification)
    )
    return notification


def announce_to_staff(title: str, url: str = "") -> None:
    """Tell who listens, after the commit, what all staff who look should see; nothing is kept of it.

    Args:
        title: what it says, in a line.
        url: where it leads to, a path of this service.
    """
    transaction.on_commit(
        partial(announced.send_robust, sender=announce_to_staff, title=title, url=url)
    )
