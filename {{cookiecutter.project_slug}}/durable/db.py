"""The database beneath the ORM: constant statements, its clock, and outcomes that outlast an outage."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import structlog
from celery.exceptions import SoftTimeLimitExceeded
from django.db import InternalError, connection, connections, models, transaction

from durable.errors import DATABASE_ERRORS

logger = structlog.get_logger(__name__)

Outcome = TypeVar("Outcome")

# How long an outcome is written again and again. Later, another worker may do the work.
RETRY_SHARE_OF_LEASE = 0.8
RETRY_INTERVAL = 0.5  # seconds
# The soft time limit comes once, perhaps during a pause; the work that it would end is done.
WRITE_ERRORS: tuple[type[Exception], ...] = (
    *DATABASE_ERRORS,
    InternalError,
    SoftTimeLimitExceeded,
)
READ_ONLY = "25006"  # https://www.postgresql.org/docs/current/errcodes-appendix.html

# The time, and the time in so many seconds, as Django's `Now` writes them.
CLOCKS = {
    "postgresql": ("STATEMENT_TIMESTAMP()", "STATEMENT_TIMESTAMP() + make_interval(secs => %s)"),
    "sqlite": (
        "STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', 'NOW')",
        "STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', 'NOW', %s || ' seconds')",
    ),
}


@dataclass(frozen=True)
class FromNow:
    """A time by the database's clock, as a value for `update`: machines whose clocks differ agree.

    Args:
        delay: from the time of the statement.
    """

    delay: timedelta = timedelta(0)


def assignments(
    model: type[models.Model], values: Mapping[str, Any]
) -> tuple[list[str], list[Any]]:
    """Return `column = %s` for each value, and the parameters; Django's compiler takes ten times as long.

    Args:
        model: of the table.
        values: by field name, `FromNow` for times.
    """
    _now, later = CLOCKS[connection.vendor]
    parts: list[str] = []
    parameters: list[Any] = []
    for name, value in values.items():
        field: Any = model._meta.get_field(name)
        column = connection.ops.quote_name(field.column)
        if isinstance(value, FromNow):
            parts.append(f"{column} = {later}")
            parameters.append(value.delay.total_seconds())
        else:
            parts.append(f"{column} = %s")
            parameters.append(field.get_db_prep_save(value, connection))
    return parts, parameters


def update(model: type[models.Model], where: Mapping[str, Any], values: Mapping[str, Any]) -> int:
    """Write values into the rows whose fields equal those of `where`; see `assignments`.

    Args:
        model: of the table.
        where: by field name; no None, which equals nothing in SQL.
        values: by field name.

    Returns:
        the number of rows that were changed.
    """
    table = connection.ops.quote_name(model._meta.db_table)
    (new, parameters), (found, of_where) = assignments(model, values), assignments(model, where)
    statement = f"UPDATE {table} SET {', '.join(new)} WHERE {' AND '.join(found)}"  # noqa: S608 - quoted names
    with connection.cursor() as cursor:
        cursor.execute(statement, [*parameters, *of_where])
        return int(cursor.rowcount)


def on_commit_robust(function: Callable[..., object], *args: Any) -> None:
    """Call a function after the commit; an error is logged, and does not reach the caller.

    Django names the function in that log line, and fails at a `partial`, which has no name.
    """

    def call() -> None:
        function(*args)

    transaction.on_commit(call, robust=True)


def close_connections() -> None:
    """Close the database's connections, as a worker's main process does before it forks again."""
    for each in connections.all(initialized_only=True):
        if not each.in_atomic_block:
            each.close()


def retry_until_written(write: Callable[[], Outcome], lease: timedelta) -> Outcome:
    """Write an outcome, again and again while the database is away: the work is done already.

    Args:
        write: writes the outcome and returns something.
        lease: of the row. For most of it no other worker does the work a second time.
    """
    deadline = time.monotonic() + RETRY_SHARE_OF_LEASE * lease.total_seconds()
    failed = False
    while True:
        try:
            if failed:
                connection.close()
                time.sleep(RETRY_INTERVAL)
            return write()
        except WRITE_ERRORS as error:
            if not is_temporary(error) or time.monotonic() > deadline:
                raise
            logger.warning("outcome_not_written", error=str(error))
            failed = True


def is_temporary(error: Exception) -> bool:
    """Whether an error is an outage and no bug. A primary that has become a replica is an outage, too."""
    return (
        not isinstance(error, InternalError)
        or getattr(error.__cause__, "sqlstate", "") == READ_ONLY
    )
