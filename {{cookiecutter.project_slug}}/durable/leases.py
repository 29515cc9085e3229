"""Rows of work: a worker claims one for a while, and another worker finds it again if the first dies.

A row is QUEUED until `next_attempt_at`. A worker claims it with one UPDATE, and holds it until
`lease_until`. Only the holder of the current `lease_token` can write the outcome. All times are the
database's, so machines whose clocks differ agree when a lease ends.
"""

import uuid
from datetime import timedelta
from typing import Any, ClassVar, Self, TypeVar

from django.db import connection, models
from django.db.models import Q
from django.db.models.functions import Now

from durable.db import CLOCKS, FromNow, assignments, update

Row = TypeVar("Row", bound="LeasedRow")

# Workers that may die with the same row in a row: a second crash may be chance, as when a machine restarts.
MAX_CRASHES = 3
# A sweep publishes at most this many messages for a queue: about two seconds of publishing.
REQUEUE_LIMIT = 10_000
# And at least this many, so that rows without a message do not wait behind others' messages.
REQUEUE_MINIMUM = 100

CLAIM = """
    UPDATE {table} SET
        {values},
        attempts = attempts + 1,
        crashes = crashes + CASE WHEN status = %s THEN 1 ELSE 0 END
    WHERE {key} AND (
        (status = %s AND next_attempt_at <= {now}) OR (status = %s AND lease_until < {now})
    )
    RETURNING *
"""


class LeasedQuerySet(models.QuerySet[Row]):
    """Queries for rows of work."""

    def due(self) -> Self:
        """Rows that a worker should start now: queued and due, or orphaned by a worker that died."""
        queued = Q(status=self.model.QUEUED, next_attempt_at__lte=Now())
        orphaned = Q(status=self.model.CLAIMED, lease_until__lt=Now())
        return self.filter(queued | orphaned)

    def waiting(self) -> Self:
        """Rows that are due, and that no worker has claimed; the longest waiting first."""
        due = self.filter(status=self.model.QUEUED, next_attempt_at__lte=Now())
        return due.order_by("next_attempt_at")

    def without_message(self, messages: int) -> Self:
        """The oldest of these rows, as many as lack a message if each message is for one of them.

        Args:
            messages: how many wait in the queue of these rows.
        """
        missing = self[: messages + REQUEUE_LIMIT].count() - messages
        return self.order_by("next_attempt_at")[: max(missing, REQUEUE_MINIMUM)]

    def claim(self, pk: object, lease: timedelta, **values: Any) -> Row | None:
        """Claim the row, and count the attempt and, if its last worker died, the crash.

        Args:
            pk: the row's primary key.
            lease: how long no other worker can claim it.
            values: more fields to write.

        Returns:
            the row with your `lease_token`; None if it is not due or another worker holds it.
        """
        model = self.model
        held = {
            "lease_token": uuid.uuid4(),
            "lease_until": FromNow(lease),
            "started_at": FromNow(),
        }
        parts, parameters = assignments(model, {"status": model.CLAIMED, **held, **values})
        (key,), of_key = assignments(model, {"id": pk})
        now, _later = CLOCKS[connection.vendor]
        table = connection.ops.quote_name(model._meta.db_table)
        statement = CLAIM.format(table=table, values=", ".join(parts), key=key, now=now)
        states = [model.QUEUED, model.CLAIMED]
        rows = self.raw(statement, [*parameters, model.CLAIMED, *of_key, *states])
        return next(iter(list(rows)), None)


class LeasedRow(models.Model):
    """A row of work. `finish` writes the outcome of a claim."""

    QUEUED: ClassVar[str] = "queued"
    CLAIMED: ClassVar[str]  # the model's status of a row that a worker holds
    status: Any  # the model's own field

    attempts = models.PositiveIntegerField(default=0)
    crashes = models.PositiveIntegerField(
        default=0, help_text="Workers that died with it, without a success in between."
    )
    last_error = models.TextField(blank=True)
    lease_token = models.UUIDField(null=True, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)
    next_attempt_at = models.DateTimeField(db_default=Now())
    queued_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(
        null=True, editable=False, help_text="When the last attempt started."
    )

    objects: ClassVar[Any] = LeasedQuerySet.as_manager()

    class Meta:
        abstract = True

    @staticmethod
    def due_indexes(prefix: str, claimed: str) -> list[models.Index]:
        """Return indexes over unfinished rows only: the cost of a sweep does not grow with the table.

        Args:
            prefix: the indexes' names begin with it.
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

    @property
    def is_poison(self) -> bool:
        """Whether MAX_CRASHES workers have died with it."""
        return self.crashes >= MAX_CRASHES

    def finish(self, **outcome: Any) -> bool:
        """Write the outcome and end the lease.

        Args:
            outcome: field names and values, `FromNow` for times.

        Returns:
            False, with nothing written, if the lease ended and another worker has claimed the row.
        """
        held = {"id": self.pk, "lease_token": self.lease_token}
        ended = {"lease_token": None, "lease_until": None, "crashes": 0}
        return update(type(self), held, ended | outcome) == 1
