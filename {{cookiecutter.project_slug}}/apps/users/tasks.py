"""A plain task: if one run is lost, the next night's run deletes the same rows."""

from importlib import import_module

from celery import shared_task
from django.conf import settings

from durable.api import Task


@shared_task(base=Task, name="users.cleanup_sessions")
def cleanup_sessions() -> None:
    """Delete expired sessions; Django itself deletes only those of users who log out."""
    import_module(settings.SESSION_ENGINE).SessionStore.clear_expired()
