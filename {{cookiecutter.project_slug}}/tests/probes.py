"""Tasks that only tests have: they go where their names send them, and tell when they ran."""

import time

import redis
from celery import current_app, shared_task
from django.conf import settings

from apps.tasks.base import Task

ORDER = "tests:order"


def ran() -> list[str]:
    """Return the names of the probes that have run, in their order."""
    with redis.Redis.from_url(settings.REDIS_URL, decode_responses=True) as client:
        return list(client.lrange(ORDER, 0, -1))


def forget() -> None:
    """Forget what has run."""
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.delete(ORDER)


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


@shared_task(base=Task, name="tests.tell")
def tell(word: str) -> None:
    """Tell a word, by which a test knows its own task."""
    note(word)


@shared_task(base=Task, name="tests.patience")
def patience() -> None:
    """Tell how many seconds this worker waits for its broker."""
    note(str(current_app.conf.broker_transport_options["socket_timeout"]))
