"""A plain task: if one run is lost, the next night's run deletes the same rows."""

from celery import shared_task
from django.contrib.sessions.models import Session
from django.db.models.functions import Now

from durable.api import Task, purge


@shared_task(base=Task, name="users.cleanup_sessions")
def cleanup_sessions() -> int:
    """Delete expired sessions; Django itself deletes only those of users who log out."""
    return purge(Session.objects.filter(expire_date__lt=Now()).order_by("expire_date"))
