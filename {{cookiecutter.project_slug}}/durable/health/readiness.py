"""Whether this process can serve requests: `/health/ready`."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache as once
from typing import Any

import structlog
from django.core.cache import cache, caches
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor

from durable.broker.queues import check_broker
from durable.health import queues
from durable.health.parts import Question, start

logger = structlog.get_logger(__name__)

TIMEOUT = 2.0  # seconds for all checks together; a probe waits for 5
STUCK_KEY, STUCK_AGE = "health:stuck", 15  # seconds; probes come every few seconds
# A check's connection gives up sooner than the work's; config/settings/base.py has the limits of those.
DRIVER_OPTIONS: dict[str, dict[str, Any]] = {
    "postgresql": {
        "pool": False,  # a connection of its own
        "connect_timeout": 2,  # seconds, the least that libpq accepts
    },
    "sqlite": {"timeout": 2},  # seconds that a query waits for a lock
}


@contextmanager
def database() -> Iterator[BaseDatabaseWrapper]:
    """Connect to the database for one check. Django's connections belong to a thread: here, to the check's."""
    connection = connections["default"]
    options = connection.settings_dict["OPTIONS"] | DRIVER_OPTIONS.get(connection.vendor, {})
    connection.settings_dict = {**connection.settings_dict, "OPTIONS": options}
    try:
        yield connection
    finally:
        connection.close()


def check_database() -> None:
    """Run a query."""
    with database() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def check_cache() -> None:
    """Write to the cache, so that a full or read-only one fails too."""
    caches["default"].set("tasks:readiness", 1, timeout=10)


@once
def check_migrations() -> None:
    """Look for unapplied migrations, until this process has seen that there are none.

    Raises:
        LookupError: some are not applied.
    """
    with database() as connection:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if missing:
        raise LookupError(
            f"{len(missing)} migrations are not applied: run `make migrate`, or the release step of the deployment"
        )


def check_queues() -> None:
    """Look for queues in which work waits for too long, or for a worker that does not exist.

    All web processes share an answer: it reads many rows, and asking the workers takes a second.

    Raises:
        LookupError: there are some.
    """
    stuck = cache.get(STUCK_KEY)
    if stuck is None:
        with database():
            problems = list(queues.find_problems().values())
        stuck = bool(problems)
        cache.set(STUCK_KEY, stuck, STUCK_AGE)
        if problems:
            logger.warning("queues_stuck", problems=problems)
    if stuck:
        raise LookupError("work waits for too long")


CHECKS: dict[str, Callable[[], object]] = {
    "database": check_database,
    "cache": check_cache,
    "broker": check_broker,
    "migrations": check_migrations,
}
# What is shown beside them. A web server serves as well as ever while a worker is missing, so this
# never takes one out of rotation.
REPORTS: dict[str, Callable[[], object]] = {"queues": check_queues}


def check_all() -> tuple[dict[str, bool], str]:
    """Return whether each check passed within TIMEOUT, and the state of the queues.

    The reasons are logged, not shown to strangers. The queues are "ok", "stuck" or "unknown".
    """
    deadline = time.monotonic() + TIMEOUT
    started = {
        name: start(f"readiness-{name}", check) for name, check in (CHECKS | REPORTS).items()
    }
    checks = {name: passed(name, started[name], deadline) for name in CHECKS}
    return checks, state_of(started["queues"], deadline)


def state_of(thread: Question, deadline: float) -> str:
    """Wait for the report on the queues until `deadline`, a time of the monotonic clock."""
    thread.join(max(0.0, deadline - time.monotonic()))
    if isinstance(thread.error, LookupError):
        return "stuck"
    return "unknown" if thread.error or thread.is_alive() else "ok"


def passed(name: str, thread: Question, deadline: float) -> bool:
    """Wait for one check until `deadline`, a time of the monotonic clock."""
    thread.join(max(0.0, deadline - time.monotonic()))
    error = TimeoutError(f"no answer within {TIMEOUT:g} s") if thread.is_alive() else thread.error
    if error:
        logger.warning("not_ready", part=name, error=f"{type(error).__name__}: {error}")
    return error is None
