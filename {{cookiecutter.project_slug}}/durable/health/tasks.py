"""The periodic task of the health checks."""

from celery import shared_task

from durable.health import alerts
from durable.tasks.base import Task


@shared_task(base=Task, name="health.check", autoretry_for=(), runs_in_beat=True)
def check() -> int:
    """Check the service and report its problems; return their number."""
    return alerts.check()
