"""Tasks that only tests have: they go where their names send them, and tell when they ran."""

import time

import redis
from celery import shared_task
from django.conf import settings

from apps.tasks.base import Task

ORDER = "tests:order"


def ran() -> list[str]:
    """Return the names of the probes that have run, in their order."""
    with redis.Redis.from_url(settings.REDIS_URL, decode_responses=True) as client:
        return list(client.lrange(ORDER, 0, -1))


def note(name: str) -> None:
    """Remember that a probe has run."""
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.rpush(ORDER, name)


@shared_task(base=Task, name="mail.deliver_probe")
def urgent() -> None:
    """A task that goes where mail goes."""
    note("urgent")


@shared_task(base=Task, name="reports.probe")
def report(seconds: float = 0) -> None:
    """A task that goes where reports go, and takes as long as it is told."""
    note("report")
    time.sleep(seconds)
