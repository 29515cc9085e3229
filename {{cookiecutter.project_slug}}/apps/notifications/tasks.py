"""A plain task: if one run is lost, the next night's run deletes the same rows."""

from celery import shared_task
from django.conf import settings
from django.db.models.functions import Now

from apps.notifications.models import Notification
from durable.api import Task, purge


@shared_task(base=Task, name="notifications.purge_old_notifications")
def purge_old_notifications() -> int:
    """Delete notifications older than NOTIFICATION_RETENTION, read or not; return how many."""
    old = Notification.objects.filter(created_at__lt=Now() - settings.NOTIFICATION_RETENTION)
    return purge(old.order_by("created_at"))
