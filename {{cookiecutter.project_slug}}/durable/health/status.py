"""The checks that the home page shows to staff. Each takes seconds at most, not minutes."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from django.core.cache import cache
from django.db import connection
from redis.exceptions import RedisError

from durable.broker.queues import queue_lengths
from durable.tasks.tasks import HEARTBEAT_KEY

HEARTBEAT_MAX_AGE = 60.0  # seconds: Beat sends one every 15 s, so four were missed


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Args:
        name: what was checked.
        ok: whether it works.
        detail: one sentence for a person, with what to do if it does not.
    """

    name: str
    ok: bool
    detail: str


def check_database() -> str:
    """Run a query; return which database answered."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return f"Connected to {connection.display_name}."


def check_broker() -> str:
    """Return how many messages wait in each queue."""
    return (
        "Waiting messages: " + ", ".join(f"{name} {n}" for name, n in queue_lengths().items()) + "."
    )


def check_heartbeat() -> str:
    """Return when a worker last ran the heartbeat task that Beat sends.

    Raises:
        LookupError: never, or too long ago.
    """
    last = cache.get(HEARTBEAT_KEY)
    if last is None:
        raise LookupError("No heartbeat yet. Start Beat and a worker (`make dev` starts both).")
    age = time.time() - last
    if age > HEARTBEAT_MAX_AGE:
        raise LookupError(f"Last heartbeat {age:.0f} s ago. Check Beat and the workers.")
    return f"Last heartbeat {age:.0f} s ago."


def run(name: str, check: Callable[[], str]) -> Check:
    """Run one check; an exception means that it failed."""
    try:
        return Check(name, ok=True, detail=check())
    except (OSError, LookupError, RedisError) as error:
        return Check(name, ok=False, detail=str(error))
    except Exception as error:  # noqa: BLE001 - any error of a driver means that the part is down
        return Check(name, ok=False, detail=f"{type(error).__name__}: {error}")


def check_all() -> list[Check]:
    """Run every check."""
    return [
        run("Database", check_database),
        run("Broker", check_broker),
        run("Beat and workers", check_heartbeat),
    ]
