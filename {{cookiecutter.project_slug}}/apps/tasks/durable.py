"""Rows that stand for work: claimed by one worker at a time, found again when that worker dies.

A row waits as QUEUED until `next_attempt_at`. A worker claims it with one conditional UPDATE
and holds it until `lease_until`. Whoever holds the current token writes the outcome; a worker
that comes too late finds that the token is no longer its own. All times are the database's, so
machines whose clocks differ agree on when a lease has run out.
"""

import uuid
from datetime import timedelta
from typing import Any, ClassVar, Self, TypeVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

Row = TypeVar("Row", bound="DurableRow")


class DurableQuerySet(models.QuerySet[Row]):
    """What can be asked of rows that stand for work."""

    def due(self) -> Self:
        """Rows that someone should work on now: waiting and due, or held by a lost worker."""
        waiting = Q(status=self.model.QUEUED, next_attempt_at__lte=Now())
        lost = Q(status=self.model.CLAIMED, lease_until__lt=Now())
        return self.filter(waiting | lost)

    def claim(self, pk: object, lease: timedelta) -> Row | None:
        """Take the row for yourself, and count the attempt.

        Args:
            pk: the row's primary key.
            lease: how long nobody else may take it.

        Returns:
            the row with your `lease_token`, or None if it is not due or somebody else has it.
        """
        token = uuid.uuid4()
        claimed = (
            self.filter(pk=pk)
            .due()
            .update(
                status=self.model.CLAIMED,
                attempts=F("attempts") + 1,
                lease_token=token,
                lease_until=Now() + lease,
            )
        )
        return self.filter(pk=pk, lease_token=token).first() if claimed else None


class DurableRow(models.Model):
    """A row that stands for work; `release` ends a claim."""

    QUEUED: ClassVar[str] = "queued"
    CLAIMED: ClassVar[str]  # what the model calls a row that a worker holds

    attempts = models.PositiveIntegerField(default=0)
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

    def release(self, **outcome: Any) -> bool:
        """Write the outcome and give the row back.

        Returns:
            False, with nothing written, if the lease ran out and somebody else claimed the row.
        """
        held = type(self)._default_manager.filter(pk=self.pk, lease_token=self.lease_token)
        return held.update(lease_token=None, lease_until=None, **outcome) == 1
