"""A plain task: if one run is lost, the next night's run deletes the same rows."""

from datetime import timedelta

from celery import shared_task
from django.db.models.functions import Now

from apps.contact.models import Submission
from durable.api import Task, purge

RETENTION = timedelta(days=90)


@shared_task(base=Task, name="contact.cleanup_old_submissions")
def cleanup_old_submissions() -> int:
    """Delete read messages older than RETENTION; return how many."""
    old = Submission.objects.filter(read_at__isnull=False, created_at__lt=Now() - RETENTION)
    return purge(old.order_by("created_at"))
