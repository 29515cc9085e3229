"""Whether the parts of the service are there. Every look takes seconds at most, not minutes."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from celery import current_app
from django.core.cache import cache
from django.db import connection
from redis.exceptions import RedisError

HEARTBEAT_KEY = "tasks:heartbeat"
HEARTBEAT_LATE = 60.0  # seconds: four beats missed


@dataclass(frozen=True)
class Check:
    """What was found of one part.

    Args:
        name: the part.
        ok: whether it does its work.
        detail: one sentence for a person, with what to do if it does not.
    """

    name: str
    ok: bool
    detail: str


def note_heartbeat() -> None:
    """Remember that a worker has just run a task that Beat sent."""
    cache.set(HEARTBEAT_KEY, time.time(), None)


def check_database() -> str:
    """Ask the database for an answer; return what kind it is."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return f"{connection.display_name} answers."


def queue_lengths() -> dict[str, int]:
    """Return how many messages wait in each queue.

    Raises:
        redis.exceptions.RedisError: the broker does not answer.
    """
    with current_app.connection_for_read() as broker:
        channel: Any = broker.default_channel
        return {
            queue.name: channel.queue_declare(queue.name).message_count
            for queue in current_app.conf.task_queues
        }


def check_broker() -> str:
    """Ask the broker how much waits in its queues."""
    return "Waiting: " + ", ".join(f"{name} {n}" for name, n in queue_lengths().items()) + "."


def check_heartbeat() -> str:
    """Look at when a worker last ran a task that Beat sent."""
    beat = cache.get(HEARTBEAT_KEY)
    if beat is None:
        raise LookupError("No heartbeat yet: start Beat and a worker (make dev starts both).")
    age = time.time() - beat
    if age > HEARTBEAT_LATE:
        raise LookupError(f"The last heartbeat is {age:.0f} s old: look at Beat and the workers.")
    return f"The last heartbeat is {age:.0f} s old."


def run(name: str, check: Callable[[], str]) -> Check:
    """Run one check; whatever goes wrong is its finding."""
    try:
        return Check(name, ok=True, detail=check())
    except (OSError, LookupError, RedisError) as error:
        return Check(name, ok=False, detail=str(error))
    except Exception as error:  # noqa: BLE001 - a driver's error of any kind means that the part is not there
        return Check(name, ok=False, detail=f"{type(error).__name__}: {error}")


def all_checks() -> list[Check]:
    """Look at every part."""
    return [
        run("Database", check_database),
        run("Broker", check_broker),
        run("Beat and workers", check_heartbeat),
    ]
