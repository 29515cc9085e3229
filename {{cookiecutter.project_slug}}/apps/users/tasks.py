"""Not durable, and need not be: a cleanup that is lost is made up for by the next night's."""

from importlib import import_module

from celery import shared_task
from django.conf import settings

from durable.api import Task


@shared_task(base=Task, name="users.cleanup_sessions")
def cleanup_sessions() -> None:
    """Delete sessions that have expired: of who signs out Django deletes them, of all others nobody."""
    import_module(settings.SESSION_ENGINE).SessionStore.clear_expired()
