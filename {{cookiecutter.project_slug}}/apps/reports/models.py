"""Sales, the files that bring them, and the reports on them."""

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

from durable.api import Progress

if TYPE_CHECKING:
    from apps.users.models import User

Row = TypeVar("Row", bound="Job")
MINUTE = 60  # seconds


class Sale(models.Model):
    """One sale, as another system knows it."""

    # PostgreSQL keeps no NUL.
    external_id = models.CharField(max_length=100, validators=[ProhibitNullCharactersValidator()])
    sold_on = models.DateField()
    product = models.CharField(max_length=200, validators=[ProhibitNullCharactersValidator()])
    quantity = models.PositiveIntegerField()
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    # The upload that brought it. No foreign key: to delete an old upload would be to touch each of
    # its sales.
    source = models.UUIDField(null=True, editable=False)

    class Meta:
        ordering = ("-sold_on", "external_id")
        # Here and not with the field, for which PostgreSQL gets a second index, for LIKE.
        constraints = [models.UniqueConstraint(fields=["external_id"], name="reports_sales_once")]
        indexes = [models.Index(fields=["sold_on", "product"], name="reports_sales_by_day")]

    def __str__(self) -> str:
        return f"{self.external_id}: {self.product}"


class JobQuerySet(models.QuerySet[Row]):
    """What can be asked of long work."""

    def visible_to(self, user: User) -> Self:
        """Return the user's own, and to the staff what was made for all of them."""
        return self.filter(Q(user=user) | Q(user=None) if user.is_staff else Q(user=user))

    def under_way(self) -> Self:
        """Return what somebody waits for."""
        return self.filter(state__in=Job.UNDER_WAY)

    def begin(self, pk: object) -> Row | None:
        """Mark a job as running, and return it unless it has ended.

        One that failed without an error of its user's may begin again: whoever runs its task again
        has mended what was wrong.
        """
        waiting = Q(state=Job.State.WAITING) | Q(state=Job.State.FAILED, error="")
        self.filter(waiting, pk=pk).update(
            state=Job.State.RUNNING, started_at=Now(), finished_at=None
        )
        return self.filter(pk=pk, state=Job.State.RUNNING).first()

    def end(self, state: str, error: str = "") -> bool:
        """Let what is under way end; return whether there was anything."""
        return self.under_way().update(state=state, error=error, finished_at=Now()) > 0


class Job(models.Model):
    """Long work that somebody waits for.

    Who works on it writes only while it is RUNNING, by conditional UPDATEs. So whoever changes the
    state cancels it: not a line is written after that.
    """

    class State(models.TextChoices):
        WAITING = "waiting"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        CANCELED = "canceled"

    UNDER_WAY = (State.WAITING, State.RUNNING)

    # Also the id of its task: published twice, that is one row, and so runs once.
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    state = models.CharField(max_length=20, choices=State, default=State.WAITING)
    error = models.TextField(blank=True, help_text="What its user can mend.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    started_at = models.DateTimeField(null=True, editable=False)
    finished_at = models.DateTimeField(null=True, editable=False)

    objects: ClassVar[JobQuerySet] = JobQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        abstract = True

    def get_absolute_url(self) -> str:
        """Return where its page is."""
        raise NotImplementedError

    @property
    def is_under_way(self) -> bool:
        """Whether there is something to wait for, and to cancel."""
        return self.state in self.UNDER_WAY

    @property
    def percent(self) -> int:
        """Share of the work that is done, 0 to 100."""
        return 100 if self.state == self.State.DONE else self.progress.percent

    @property
    def progress(self) -> Progress:
        """How far it is, as the database knows it; the cache may know less."""
        now = time.time()
        started = self.started_at.timestamp() if self.started_at else now
        return Progress(*self.measure(), "", started, now)

    @property
    def time_left(self) -> str:
        """Time to the end at the pace so far, or nothing while there is no pace to tell."""
        seconds = self.progress.seconds_left
        if seconds is None:
            return ""
        return f"{seconds:.0f} s" if seconds < MINUTE else f"{seconds / MINUTE:.0f} min"

    def measure(self) -> tuple[int, int]:
        """Return how much is done, and of how much."""
        raise NotImplementedError

    def drop_pieces(self) -> None:
        """Delete what it takes most room with."""
        raise NotImplementedError


class Upload(Job):
    """A file of sales on its way into the table."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="uploads",
        db_index=False,  # reports_uploads_by_user begins with it
    )
    name = models.CharField("file", max_length=255)
    size = models.PositiveBigIntegerField("bytes")
    position = models.PositiveBigIntegerField(default=0, help_text="Bytes that are done with.")
    lines = models.PositiveIntegerField(default=0, help_text="Lines that are done with.")
    imported = models.PositiveIntegerField(default=0)
    skipped = models.PositiveIntegerField(default=0, help_text="Known before.")
    bad = models.PositiveIntegerField(default=0)
    bad_lines = models.JSONField(default=list, help_text="Number and reason of the first ones.")

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

    def drop_pieces(self) -> None:
        self.chunks.all().delete()


class UploadChunk(models.Model):
    """A piece of an uploaded file, until that is done with.

    Files of a web process are out of a worker's reach in a container or on another machine. The
    database is what they share in every deployment, without a setting or a service more.
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
    """Sales by day and product; its file is what its parts hold, one after the other."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="reports",
        null=True,
        db_index=False,  # reports_reports_by_user begins with it
        help_text="Empty: it was made for the staff.",
    )
    since = models.DateField("from")
    until = models.DateField("to and including")
    key = models.CharField(max_length=100, null=True, blank=True)  # noqa: DJ001 - unique
    # Empty again when the parts are gone.
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
        return f"{self.since} to {self.until}"

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
        """How many lines the parts hold that are there."""
        return int(self.parts.aggregate(rows=Sum("rows", default=0))["rows"])

    def measure(self) -> tuple[int, int]:
        return self.parts.exclude(finished_at=None).count(), self.parts.count()

    def drop_pieces(self) -> None:
        self.parts.all().delete()


class ReportPart(models.Model):
    """Some days of a report."""

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
