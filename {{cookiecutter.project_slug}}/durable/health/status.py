"""The checks that the home page shows to staff. Each takes seconds at most, not minutes."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from django.core.cache import cache
from django.db import connection
from django.db.models import F
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from redis.exceptions import RedisError

from durable.broker import queues as broker_queues
from durable.broker.circuit import circuit
from durable.conf import conf
from durable.health import queues, readiness
from durable.tasks.tasks import HEARTBEAT_KEY, heartbeat


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
    """Return how many messages wait in each queue, if the broker accepts writes."""
    with circuit.guard():  # while Redis hangs, the page waits for it once
        lengths = broker_queues.check_broker()
    return "Waiting messages: " + ", ".join(f"{name} {n}" for name, n in lengths.items()) + "."


def check_queues() -> str:
    """Return that work waits in no queue for long, and that each queue with messages has a worker.

    Raises:
        LookupError: what is wrong with some queues.
    """
    if problems := queues.find_problems():
        raise LookupError(" ".join(problems.values()))
    return "No queue is stuck."


def check_cache() -> str:
    """Write to the cache."""
    readiness.check_cache()
    return "The cache accepts writes."


def check_heartbeat() -> str:
    """Return when a worker last ran the heartbeat task that Beat sends.

    Raises:
        LookupError: never, or too long ago.
    """
    last = cache.get(HEARTBEAT_KEY)  # the cache forgets it after HEARTBEAT_MAX_AGE
    if last is None:
        raise LookupError(why_no_heartbeat())
    return f"Last heartbeat {max(time.time() - last, 0):.0f} s ago."


def why_no_heartbeat() -> str:
    """Return whether Beat did not send the heartbeat task, or no worker ran it, and what to do."""
    rows = PeriodicTask.objects.filter(task=heartbeat.name)
    row = rows.order_by("-enabled", F("last_run_at").desc(nulls_last=True)).first()
    if row is None:
        return "No heartbeat yet. Start Beat and a worker (`make dev` starts both)."
    if not row.enabled:
        return f'The periodic task "{row.name}" is disabled. Enable it in the admin.'
    if row.last_run_at is None:
        return "Beat has sent no heartbeat yet. Check Beat."
    age = (timezone.now() - row.last_run_at).total_seconds()
    if age > conf.HEARTBEAT_MAX_AGE:
        return f"Beat sent the last heartbeat {age:.0f} s ago. Check Beat."
    return (
        f"Beat sent a heartbeat {max(age, 0):.0f} s ago, and no worker ran it. Check the workers."
    )


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
    return [*check_parts(), run("Queues", check_queues)]


def check_parts() -> list[Check]:
    """Check the parts of the service."""
    return [
        run("Database", check_database),
        run("Broker", check_broker),
        run("Cache", check_cache),
        run("Beat and workers", check_heartbeat),
    ]
