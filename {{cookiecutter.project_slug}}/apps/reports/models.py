"""Models for sales, uploads and reports."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, ClassVar, Self, TypeVar

from django.conf import settings
from django.core.validators import ProhibitNullCharactersValidator
from django.db import models
from django.db.models import Q, Sum
from django.db.models.functions import Now
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format

from durable.api import Progress

if TYPE_CHECKING:
    from apps.users.models import User

Row = TypeVar("Row", bound="Job")
MINUTE = 60  # seconds


class Sale(models.Model):
    """One sale, with its id in another system."""

    # PostgreSQL does not store NUL characters.
    external_id = models.CharField(max_length=100, validators=[ProhibitNullCharactersValidator()])
    sold_on = models.DateField()
    product = models.CharField(max_length=200, validators=[ProhibitNullCharactersValidator()])
    quantity = models.PositiveIntegerField()
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    # The upload. Not a foreign key: deleting an old upload would update all of its sales.
    source = models.UUIDField(null=True, editable=False)

    class Meta:
        ordering = ("-sold_on", "external_id")
        # Not `unique=True` on the field: on PostgreSQL that creates a second index, for LIKE.
        constraints = [models.UniqueConstraint(fields=["external_id"], name="reports_sales_once")]
        indexes = [models.Index(fields=["sold_on", "product"], name="reports_sales_by_day")]

    def __str__(self) -> str:
        return f"{self.external_id}: {self.product}"


class JobQuerySet(models.QuerySet[Row]):
    def visible_to(self, user: User) -> Self:
        """Return the user's own jobs and, for staff, those without a user."""
        return self.filter(Q(user=user) | Q(user=None) if user.is_staff else Q(user=user))

    def active(self) -> Self:
        """Return jobs that are waiting or running."""
        return self.filter(state__in=Job.ACTIVE)

    def start(self, pk: object) -> Row | None:
        """Mark a job as running and return it, or None if it has ended.

        A job that failed by an internal error can start again, when its task is replayed.
        """
        waiting = Q(state=Job.State.WAITING) | Q(state=Job.State.FAILED, error="")
        self.filter(waiting, pk=pk).update(
            state=Job.State.RUNNING, started_at=Now(), finished_at=None
        )
        return self.filter(pk=pk, state=Job.State.RUNNING).first()

    def finish(self, state: str, error: str = "") -> bool:
        """End active jobs; return whether there were any."""
        return self.active().update(state=state, error=error, finished_at=Now()) > 0


class Job(models.Model):
    """A long job of a user.

    Its task writes by conditional UPDATEs that need the state RUNNING. So changing the state cancels
    the job: nothing is written after that.
    """

    class State(models.TextChoices):
        WAITING = "waiting"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        CANCELED = "canceled"

    ACTIVE = (State.WAITING, State.RUNNING)

    # Also the id of its task: publishing it twice creates one row, so it runs once.
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    state = models.CharField(max_length=20, choices=State, default=State.WAITING)
    error = models.TextField(blank=True, help_text="An error that the user can fix.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    started_at = models.DateTimeField(null=True, editable=False)
    finished_at = models.DateTimeField(null=True, editable=False)

    objects: ClassVar[JobQuerySet] = JobQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        abstract = True

    def get_absolute_url(self) -> str:
        """Return the path of its page."""
        raise NotImplementedError

    @property
    def is_active(self) -> bool:
        """Whether it is waiting or running, so that it can be canceled."""
        return self.state in self.ACTIVE

    @property
    def percent(self) -> int:
        """The percentage done, 0 to 100."""
        return 100 if self.state == self.State.DONE else self.progress.percent

    @property
    def progress(self) -> Progress:
        """The progress in the database; the cache may be older."""
        now = time.time()
        started = self.started_at.timestamp() if self.started_at else now
        return Progress(*self.measure(), "", started, now)

    @property
    def time_left(self) -> str:
        """The estimated time to the end, or an empty text if it is unknown."""
        seconds = self.progress.seconds_left
        if seconds is None:
            return ""
        return f"{seconds:.0f} s" if seconds < MINUTE else f"{seconds / MINUTE:.0f} min"

    def measure(self) -> tuple[int, int]:
        """Return the amounts of work done and in total."""
        raise NotImplementedError

    def delete_content(self) -> None:
        """Delete the rows with its file."""
        raise NotImplementedError


class Upload(Job):
    """A file of sales and its import."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="uploads",
        db_index=False,  # reports_uploads_by_user begins with it
    )
    name = models.CharField("file", max_length=255)
    size = models.PositiveBigIntegerField("bytes")
    position = models.PositiveBigIntegerField(default=0, help_text="Bytes processed.")
    lines = models.PositiveIntegerField(default=0, help_text="Lines processed.")
    imported = models.PositiveIntegerField(default=0)
    skipped = models.PositiveIntegerField(default=0, help_text="Already imported.")
    bad = models.PositiveIntegerField(default=0)
    bad_lines = models.JSONField(default=list, help_text="Number and error of the first ones.")

    objects: ClassVar[JobQuerySet[Upload]] = JobQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ("-created_at",)
        indexes = [
            models.Index(fields=["user", "-created_at"], name="reports_uploads_by_user"),
            models.Index(fields=["finished_at"], name="reports_uploads_by_end"),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("reports:upload", args=[self.pk])

    def measure(self) -> tuple[int, int]:
        return self.position, self.size

    def delete_content(self) -> None:
        self.chunks.all().delete()


class UploadChunk(models.Model):
    """A chunk of an uploaded file, until it is imported.

    A worker in another container or on another machine cannot read files of the web process. The
    database is shared in every deployment, without another service.
    """

    upload = models.ForeignKey(
        Upload,
        on_delete=models.CASCADE,
        related_name="chunks",
        db_index=False,  # reports_chunks_once begins with it
    )
    number = models.PositiveIntegerField()
    content = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["upload", "number"], name="reports_chunks_once")
        ]

    def __str__(self) -> str:
        return f"{self.upload_id}, chunk {self.number}"


class Report(Job):
    """Sales by day and product. Its file is the content of its parts, in their order."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="reports",
        null=True,
        db_index=False,  # reports_reports_by_user begins with it
        help_text="Empty for a report for all staff.",
    )
    since = models.DateField("from")
    until = models.DateField("to and including")
    key = models.CharField(max_length=100, null=True, blank=True)  # noqa: DJ001 - unique
    # Empty again after its parts are deleted.
    expires_at = models.DateTimeField(null=True, editable=False)

    objects: ClassVar[JobQuerySet[Report]] = JobQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ("-created_at",)
        constraints = [models.UniqueConstraint(fields=["key"], name="reports_reports_once")]
        indexes = [
            models.Index(fields=["user", "-created_at"], name="reports_reports_by_user"),
            models.Index(fields=["finished_at"], name="reports_reports_by_end"),
            models.Index(
                fields=["expires_at"],
                name="reports_reports_to_expire",
                condition=Q(expires_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{date_format(self.since)} to {date_format(self.until)}"

    def get_absolute_url(self) -> str:
        return reverse("reports:report", args=[self.pk])

    @property
    def is_available(self) -> bool:
        """Whether there is a file to download."""
        return self.expires_at is not None and self.expires_at > timezone.now()

    @property
    def file_name(self) -> str:
        return f"sales_{self.since}_{self.until}.csv"

    @property
    def rows(self) -> int:
        """The number of lines in its parts."""
        return int(self.parts.aggregate(rows=Sum("rows", default=0))["rows"])

    def measure(self) -> tuple[int, int]:
        return self.parts.exclude(finished_at=None).count(), self.parts.count()

    def delete_content(self) -> None:
        self.parts.all().delete()


class ReportPart(models.Model):
    """Some days of a report, as lines of its file."""

    report = models.ForeignKey(
        Report,
        on_delete=models.CASCADE,
        related_name="parts",
        db_index=False,  # reports_parts_once begins with it
    )
    number = models.PositiveIntegerField()
    since = models.DateField("from")
    until = models.DateField("to and including")
    content = models.TextField(blank=True)
    rows = models.PositiveIntegerField(default=0)
    finished_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ("report", "number")
        constraints = [
            models.UniqueConstraint(fields=["report", "number"], name="reports_parts_once")
        ]

    def __str__(self) -> str:
        return f"{self.since} to {self.until}"
