"""Whether this process can do its work: `/health/ready`. No look takes longer than PATIENCE."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import cache
from threading import Lock, Thread
from typing import Any

import structlog
from django.core.cache import caches
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor

from durable.health.status import check_broker

logger = structlog.get_logger(__name__)

PATIENCE = 2.0  # seconds for all checks together; whoever asks waits for 5
# A look gives up sooner than the work does; config/settings/base.py has what ends a dead connection.
DRIVER_OPTIONS: dict[str, dict[str, Any]] = {
    "postgresql": {
        "pool": False,  # a connection of its own
        "connect_timeout": 2,  # seconds, the least that libpq takes
    },
    "sqlite": {"timeout": 2},  # seconds
}


@contextmanager
def database() -> Iterator[BaseDatabaseWrapper]:
    """Connect to the database for one look. A connection belongs to its thread: here, to the look's."""
    connection = connections["default"]
    options = connection.settings_dict["OPTIONS"] | DRIVER_OPTIONS.get(connection.vendor, {})
    connection.settings_dict = {**connection.settings_dict, "OPTIONS": options}
    try:
        yield connection
    finally:
        connection.close()


def check_database() -> None:
    """Ask the database for an answer."""
    with database() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def check_cache() -> None:
    """Write into the cache: one that is full or only to be read is found too."""
    caches["default"].set("tasks:readiness", 1, timeout=10)


@cache
def check_migrations() -> None:
    """Look for migrations that are not applied; once there are none, this process asks no more.

    Raises:
        LookupError: there are some.
    """
    with database() as connection:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if missing:
        raise LookupError(f"{len(missing)} migrations are not applied: run manage.py migrate")


class BoundedCheck:
    """A check that at most one thread runs at a time: who asks meanwhile waits for the same answer.

    Args:
        check: raises an exception when its part is not there.
    """

    def __init__(self, check: Callable[[], object]) -> None:
        self.check = check
        self.lock = Lock()
        self.answer: Future[None] | None = None

    def start(self) -> Future[None]:
        """Return the answer to come. The thread ends with its process, even if it hangs."""
        with self.lock:
            if self.answer is None or self.answer.done():
                self.answer = Future()
                Thread(target=self.run, args=(self.answer,), name="readiness", daemon=True).start()
            return self.answer

    def run(self, answer: Future[None]) -> None:
        """Run the check; whatever goes wrong is its answer."""
        try:
            self.check()
        except Exception as error:  # noqa: BLE001 - a driver's error of any kind means that the part is not there
            answer.set_exception(error)
        else:
            answer.set_result(None)


CHECKS = {
    "database": BoundedCheck(check_database),
    "cache": BoundedCheck(check_cache),
    "broker": BoundedCheck(check_broker),
    "migrations": BoundedCheck(check_migrations),
}


def look() -> dict[str, bool]:
    """Return whether each part answers. Why it does not is in the log, where strangers do not read."""
    deadline = time.monotonic() + PATIENCE
    answers = {name: check.start() for name, check in CHECKS.items()}
    return {name: is_well(name, answer, deadline) for name, answer in answers.items()}


def is_well(name: str, answer: Future[None], deadline: float) -> bool:
    """Wait for one answer until `deadline`, a reading of the monotonic clock."""
    try:
        error = answer.exception(timeout=max(0.0, deadline - time.monotonic()))
    except TimeoutError:
        error = TimeoutError(f"no answer within {PATIENCE:g} s")
    if error:
        logger.warning("not_ready", part=name, error=f"{type(error).__name__}: {error}")
    return error is None
