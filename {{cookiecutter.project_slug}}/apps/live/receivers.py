"""What is passed on to open pages, once it has happened."""

from typing import Any

from django.dispatch import receiver

from apps.live.groups import group_of, group_of_staff
from apps.live.pushing import push
from apps.notifications.models import Notification
from apps.notifications.services import count_unread
from apps.notifications.signals import announced, notified
from durable.api import Progress, progressed


@receiver(notified)
def tell_user(notification: Notification, **_: Any) -> None:
    """Tell a user's pages of a notification, and how many are unread."""
    push(
        group_of(notification.user_id),
        {
            "type": "notification",
            "id": notification.pk,
            "title": notification.title,
            "url": notification.url,
            "unread": count_unread(notification.user_id),
        },
    )


@receiver(progressed)
def tell_progress(task_id: str, progress: Progress, user_id: int | None, **_: Any) -> None:
    """Tell the pages of whoever waits for a task how far it is."""
    if user_id is not None:
        push(
            group_of(user_id),
            {
                "type": "progress",
                "task": task_id,
                "percent": progress.percent,
                "message": progress.message,
                "seconds_left": progress.seconds_left,
            },
        )


@receiver(announced)
def tell_staff(title: str, url: str, **_: Any) -> None:
    """Tell all pages of all staff."""
    push(group_of_staff(), {"type": "announcement", "title": title, "url": url})
