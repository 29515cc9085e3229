"""Forwards signals of other apps to open pages."""

from typing import Any

from django.dispatch import receiver

from apps.live.groups import STAFF, user_group
from apps.live.sender import send
from apps.notifications.models import Notification
from apps.notifications.services import count_unread
from apps.notifications.signals import announced, notified
from durable.api import Progress, progressed


@receiver(notified)
def send_notification(notification: Notification, **_: Any) -> None:
    """Send a notification and the number of unread ones to the pages of its user."""
    send(
        user_group(notification.user_id),
        {
            "type": "notification",
            "id": notification.pk,
            "title": notification.title,
            "url": notification.url,
            "unread": count_unread(notification.user_id),
        },
    )


@receiver(progressed)
def send_progress(task_id: str, progress: Progress, user_id: int | None, **_: Any) -> None:
    """Send the progress of a task to the pages of its user."""
    if user_id is not None:
        send(
            user_group(user_id),
            {
                "type": "progress",
                "task": task_id,
                "percent": progress.percent,
                "message": progress.message,
                "seconds_left": progress.seconds_left,
            },
        )


@receiver(announced)
def send_announcement(title: str, url: str, **_: Any) -> None:
    """Send an announcement to the pages of all staff."""
    send(STAFF, {"type": "announcement", "title": title, "url": url})
