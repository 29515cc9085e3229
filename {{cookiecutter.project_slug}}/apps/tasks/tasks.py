"""Tasks about tasks."""

from celery import shared_task

from apps.tasks import health
from apps.tasks.base import Task


@shared_task(base=Task, name="tasks.heartbeat")
def heartbeat() -> None:
    """Prove that Beat, the broker and a worker work together: the home page shows its age."""
    health.note_heartbeat()
