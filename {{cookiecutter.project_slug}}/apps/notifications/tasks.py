"""Not durable, and need not be: a purge that is lost is made up for by the next night's."""

import structlog
from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db.models.functions import Now

from apps.notifications.models import Notification
from durable.api import Task

logger = structlog.get_logger(__name__)

PURGED_AT_ONCE = 1_000  # rows; one short transaction each


@shared_task(base=Task, name="notifications.purge_old_notifications")
def purge_old_notifications() -> int:
    """Delete what is older than NOTIFICATION_RETENTION, read or not; return how many that were."""
    old = Notification.objects.filter(created_at__lt=Now() - settings.NOTIFICATION_RETENTION)
    oldest = old.order_by("created_at").values_list("pk", flat=True)
    deleted = 0
    try:
        while pks := list(oldest[:PURGED_AT_ONCE]):
            deleted += Notification.objects.filter(pk__in=pks).delete()[0]
    except SoftTimeLimitExceeded:
        logger.info("purge_goes_on_tomorrow", deleted=deleted)
    return deleted
