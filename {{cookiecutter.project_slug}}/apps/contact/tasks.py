"""Not durable, and need not be: a cleanup that is lost is made up for by the next night's."""

from datetime import timedelta

import structlog
from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded
from django.db.models.functions import Now

from apps.contact.models import Submission
from durable.api import Task

logger = structlog.get_logger(__name__)

RETENTION = timedelta(days=90)
DELETED_AT_ONCE = 1_000  # rows; one short transaction each


@shared_task(base=Task, name="contact.cleanup_old_submissions")
def cleanup_old_submissions() -> int:
    """Delete what has been read and is older than RETENTION; return how many messages that were."""
    read = Submission.objects.filter(read_at__isnull=False)
    old = read.filter(created_at__lt=Now() - RETENTION).order_by("created_at")
    deleted = 0
    try:
        while pks := list(old.values_list("pk", flat=True)[:DELETED_AT_ONCE]):
            # Asked again, since somebody may have marked one as unread.
            deleted += read.filter(pk__in=pks).delete()[0]
    except SoftTimeLimitExceeded:
        logger.info("contact_cleanup_goes_on_tomorrow", deleted=deleted)
    return deleted
