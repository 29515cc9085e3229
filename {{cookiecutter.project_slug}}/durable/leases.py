"""Rows that stand for work: claimed by one worker at a time, found again when that worker dies.

A row waits as QUEUED until `next_attempt_at`. A worker claims it with an UPDATE that finds only the
row as the worker has just read it, and holds it until `lease_until`. Whoever holds the current token
writes the outcome; a worker that comes too late finds that the token is no longer its own. All times
are the database's, so machines whose clocks differ agree on when a lease has run out.
"""

import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, ClassVar, Self, TypeVar, cast

import structlog
from celery import current_app
from celery.exceptions import SoftTimeLimitExceeded
from django.db import InterfaceError, InternalError, OperationalError, connection, models
from django.db.models import Q
from django.db.models.functions import Now
from kombu.exceptions import BatchPublishError  # type: ignore[attr-defined]
from kombu.exceptions import OperationalError as BrokerError
from redis.exceptions import RedisError

from durable.broker.circuit import circuit

logger = structlog.get_logger(__name__)

Row = TypeVar("Row", bound="DurableRow")
Outcome = TypeVar("Outcome")

# Workers that may die with the same row, one after the other, before it is set aside: a second
# death may be chance, such as a restart of the machine.
MOST_LOSSES = 3
# Rows of a queue that a sweep rings for. About two seconds of publishing at the most. At the least, so
# that rows whose messages are lost do not wait until a queue is empty that holds others' messages too.
REQUEUED_AT_ONCE = 10_000
REQUEUED_AT_LEAST = 100
# How long an outcome is written again and again: beyond, somebody else may do the work.
MOST_OF_A_LEASE = 0.8  # share
WRITE_AGAIN = 0.5  # seconds between two attempts
READ_ONLY = "25006"  # https://www.postgresql.org/docs/current/errcodes-appendix.html
BROKER_AWAY = (BrokerError, BatchPublishError, RedisError)


class WorkersLostError(Exception):
    """Worker after worker has died with the same work: it is set aside instead of killing more."""


class DurableQuerySet(models.QuerySet[Row]):
    """What can be asked of rows that stand for work."""

    def due(self) -> Self:
        """Rows that someone should work on now: waiting and due, or held by a lost worker."""
        waiting = Q(status=self.model.QUEUED, next_attempt_at__lte=Now())
        lost = Q(status=self.model.CLAIMED, lease_until__lt=Now())
        return self.filter(waiting | lost)

    def without_message(self, messages: int) -> Self:
        """The oldest of these rows, as many as have no message, if each message is one of theirs.

        Args:
            messages: how many wait in the queue that these rows belong to.
        """
        missing = self[: messages + REQUEUED_AT_ONCE].count() - messages
        return self.order_by("next_attempt_at")[: max(missing, REQUEUED_AT_LEAST)]

    def claim(self, pk: object, lease: timedelta, **values: Any) -> Row | None:
        """Take the row for yourself, and count the attempt.

        Args:
            pk: the row's primary key.
            lease: how long nobody else may take it.
            values: what else to write into the row.

        Returns:
            the row with your `lease_token`, or None if it is not due or somebody else has it.
        """
        # Plain values where they can be: this runs for each message, and expressions take Django longer
        # to put together than the database needs for all of it.
        row = self.filter(pk=pk).annotate(now=Now()).first()
        if row is None or not row.is_due(row.now):
            return None
        seen = {name: getattr(row, name) for name in ("status", "attempts", "lease_token")}
        claim = {
            "status": row.CLAIMED,
            "attempts": row.attempts + 1,
            # Whoever held it has never said how it ended.
            "losses": row.losses + (row.status == row.CLAIMED),
            "lease_token": uuid.uuid4(),
            "lease_until": row.now + lease,
            **values,
        }
        # The lease begins with the UPDATE: the database may have stood still since the row was read.
        if not self.filter(pk=pk, **seen).update(**claim | {"lease_until": Now() + lease}):
            return None
        for name, value in claim.items():
            setattr(row, name, value)
        return cast("Row", row)


class DurableRow(models.Model):
    """A row that stands for work; `release` ends a claim."""

    QUEUED: ClassVar[str] = "queued"
    CLAIMED: ClassVar[str]  # what the model calls a row that a worker holds
    status: Any  # the model's own field

    attempts = models.PositiveIntegerField(default=0)
    losses = models.PositiveIntegerField(
        default=0, help_text="Workers that died with it, one after the other."
    )
    last_error = models.TextField(blank=True)
    lease_token = models.UUIDField(null=True, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)
    next_attempt_at = models.DateTimeField(db_default=Now())
    queued_at = models.DateTimeField(db_default=Now())

    objects: ClassVar[Any] = DurableQuerySet.as_manager()

    class Meta:
        abstract = True

    @staticmethod
    def due_indexes(prefix: str, claimed: str) -> list[models.Index]:
        """Indexes that hold only rows with work left, so finding them does not grow with the table.

        Args:
            prefix: what the names of the indexes begin with.
            claimed: the model's CLAIMED.
        """
        return [
            models.Index(
                fields=["next_attempt_at"], name=f"{prefix}_waiting", condition=Q(status="queued")
            ),
            models.Index(
                fields=["lease_until"], name=f"{prefix}_claimed", condition=Q(status=claimed)
            ),
        ]

    def is_due(self, now: datetime) -> bool:
        """Say whether someone should work on it at a time of the database, as `due` does."""
        if self.status == self.QUEUED:
            return self.next_attempt_at <= now
        return bool(self.status == self.CLAIMED and self.lease_until and self.lease_until < now)

    @property
    def is_poisonous(self) -> bool:
        """Whether MOST_LOSSES workers in a row have died with it."""
        return self.losses >= MOST_LOSSES

    def release(self, **outcome: Any) -> bool:
        """Write the outcome and give the row back.

        Returns:
            False, with nothing written, if the lease ran out and somebody else claimed the row.
        """
        held = type(self)._default_manager.filter(pk=self.pk, lease_token=self.lease_token)
        return held.update(lease_token=None, lease_until=None, **{"losses": 0, **outcome}) == 1


def persistently(write: Callable[[], Outcome], lease: timedelta) -> Outcome:
    """Write an outcome down, again and again if the database is away: what is done is done.

    Args:
        write: what writes it, and returns something.
        lease: of the row. For most of it, nobody else does the work a second time.
    """
    deadline = time.monotonic() + MOST_OF_A_LEASE * lease.total_seconds()
    failed = False
    while True:
        try:
            if failed:
                connection.close()
                time.sleep(WRITE_AGAIN)
            return write()
        # Celery's soft time limit comes once, perhaps in the pause, and the work that it would end is done.
        except (InterfaceError, InternalError, OperationalError, SoftTimeLimitExceeded) as error:
            passing = not isinstance(error, InternalError) or is_of_a_replica(error)
            if not passing or time.monotonic() > deadline:
                raise
            logger.warning("outcome_not_written", error=str(error))
            failed = True


def is_of_a_replica(error: InternalError) -> bool:
    """Say whether PostgreSQL takes no writes, as after a failover the server that was the first."""
    return getattr(error.__cause__, "sqlstate", "") == READ_ONLY


def ring_for(rows: Iterable[Any], ring: Callable[[Any, Any], object]) -> int:
    """Publish a message for each row over one connection, many in one round trip.

    Args:
        rows: whatever `ring` takes.
        ring: publishes the message for one row with the producer that it is given.

    Returns:
        how many were published; 0 if the broker does not answer.
    """
    rung = 0
    try:
        with (
            circuit.publishing(),
            current_app.producer_or_acquire() as producer,
            producer.batch(),
        ):
            for row in rows:
                ring(row, producer)
                rung += 1
    except BROKER_AWAY as error:
        logger.warning("broker_unreachable", error=str(error))
        return 0
    return rung


@contextmanager
def broker_may_be_away() -> Iterator[None]:
    """Log that the broker does not answer, and go on behind: the next sweep comes soon."""
    try:
        yield
    except BROKER_AWAY as error:
        logger.warning("broker_unreachable", error=str(error))
