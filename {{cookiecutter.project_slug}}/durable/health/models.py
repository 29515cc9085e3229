"""The problems of the service, and when they were reported. All processes share these rows.

Each change is one conditional UPDATE, so two processes never report the same twice. A time in the near
future is that of a machine whose clock is ahead. One in the far future counts as long ago: a clock was
wrong, and reports must not stop until then.
"""

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import ClassVar

from django.db import models
from django.db.models import Q

from durable.conf import conf
from durable.text import clean_text

KEPT = timedelta(days=1)  # problems that are over; longer than the pause between two reports


def not_since(column: str, now: datetime, pause: timedelta) -> Q:
    """Return a condition: the time of a row is not within a pause of now, before or after."""
    return (
        Q((column, None)) | Q((f"{column}__lte", now - pause)) | Q((f"{column}__gt", now + pause))
    )


class LastCheckManager(models.Manager["LastCheck"]):
    def claim(self, now: datetime, pause: timedelta) -> bool:
        """Return whether this process must check now, because no other has for a while."""
        self.get_or_create(pk=LastCheck.ONLY)
        due = not_since("at", now, pause)
        return self.filter(due, pk=LastCheck.ONLY).update(at=now) == 1


class LastCheck(models.Model):
    """The one row with the time of the last check."""

    ONLY: ClassVar[int] = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=ONLY, editable=False)
    at = models.DateTimeField(null=True)

    objects: ClassVar[LastCheckManager] = LastCheckManager()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"checked at {self.at}"


class ProblemManager(models.Manager["Problem"]):
    def record(self, name: str, text: str, now: datetime) -> None:
        """Record that there is a problem."""
        text = clean_text(text)  # an error of a driver may hold anything
        self.get_or_create(name=name, defaults={"text": text, "begun_at": now})
        self.filter(name=name).update(text=text)
        begins = Q(begun_at=None) | Q(begun_at__gt=now)
        self.filter(begins, name=name).update(begun_at=now)

    def claim(self, column: str, now: datetime) -> Iterator["Problem"]:
        """Yield the problems to report, and write the time into the column of this kind of report."""
        lasting = Q(begun_at__lte=now - conf.PROBLEM_DELAY)
        for problem in self.filter(lasting, not_since(column, now, conf.PROBLEM_INTERVAL)):
            unchanged = {"pk": problem.pk, column: getattr(problem, column)}
            if self.filter(**unchanged).update(**{column: now}) == 1:
                yield problem

    def end(self, names: Collection[str]) -> Iterator["Problem"]:
        """Record that all other problems are over, and yield them."""
        for problem in self.exclude(begun_at=None).exclude(name__in=names):
            if self.filter(pk=problem.pk, begun_at=problem.begun_at).update(begun_at=None) == 1:
                yield problem

    def forget(self, now: datetime) -> None:
        """Delete problems that have been over for long."""
        self.filter(not_since("notified_at", now, KEPT), begun_at=None).delete()


class Problem(models.Model):
    """Something that is wrong with the service, or was a moment ago."""

    name = models.CharField(max_length=255)
    text = models.TextField(help_text="What is wrong and what to do, for people.")
    begun_at = models.DateTimeField(null=True, help_text="Empty if it is over.")
    notified_at = models.DateTimeField(null=True)
    mailed_at = models.DateTimeField(null=True)

    objects: ClassVar[ProblemManager] = ProblemManager()

    class Meta:
        default_permissions = ()
        # Not with the field, for which PostgreSQL would get a second index for LIKE.
        constraints = [models.UniqueConstraint(fields=["name"], name="problem_by_name")]

    def __str__(self) -> str:
        return f"{self.name}: {self.text}"

    def was_reported(self, at: datetime | None) -> bool:
        """Whether the time of a report is after the begin of this problem."""
        return bool(at and self.begun_at and at >= self.begun_at)
