"""The engine's rows: runs of tasks, crash counts of plain tasks, the leading Beat, and paused queues."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Coalesce, Now

from durable import tracing
from durable.db import FromNow
from durable.leases import LeasedQuerySet, LeasedRow
from durable.tasks.redaction import REDACTED, redacted_arguments
from durable.text import clean_text, describe_error

if TYPE_CHECKING:
    from datetime import timedelta


class TaskRunQuerySet(LeasedQuerySet["TaskRun"]):
    """Changes of state by a process that holds no lease token: a main process, or an operator's."""

    def held_by(self, worker: str) -> TaskRunQuerySet:
        """Rows that a worker runs."""
        return self.filter(status=TaskRun.Status.RUNNING, worker=worker)

    def requeue(self, **values: Any) -> bool:
        """Queue a row again; return whether there was one."""
        queued = {"status": TaskRun.Status.QUEUED, "lease_token": None, "lease_until": None}
        return self.update(**queued | values) == 1

    def fail(self, error_type: str, reason: str, **values: Any) -> bool:
        """Fail a row; return whether there was one."""
        failed = {
            "status": TaskRun.Status.FAILED,
            "error_type": clean_text(error_type)[:255],
            "last_error": reason,
            "lease_token": None,
            "lease_until": None,
            "first_failed_at": Coalesce("first_failed_at", Now()),
            "finished_at": Now(),
        }
        return self.update(**failed | values) == 1


class TaskRun(LeasedRow):
    """One run of a task; its id is the task's id."""

    class Status(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    CLAIMED: ClassVar[str] = Status.RUNNING

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=255)
    args = models.JSONField(default=list, blank=True)
    kwargs = models.JSONField(default=dict, blank=True)
    options = models.JSONField(
        default=dict, blank=True, editable=False, help_text="Links and retries of the message."
    )
    queue = models.CharField(max_length=100, blank=True)
    status = models.CharField(max_length=20, choices=Status, default=Status.QUEUED)
    worker = models.CharField(max_length=255, blank=True)
    error_type = models.CharField("error", max_length=255, blank=True)
    traceback = models.TextField(blank=True)
    correlation_id = models.CharField(max_length=100, blank=True)
    traceparent = models.CharField(max_length=tracing.MAX_LENGTH, blank=True, editable=False)
    user_id = models.CharField(
        max_length=100, blank=True, help_text="The key of the user whose request caused it."
    )
    first_failed_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    replay_of = models.OneToOneField(
        "self", on_delete=models.SET_NULL, null=True, blank=True, related_name="replayed_as"
    )

    objects: ClassVar[TaskRunQuerySet] = TaskRunQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        indexes = [
            *LeasedRow.due_indexes("taskrun", "running"),
            models.Index(fields=["status", "-finished_at"], name="taskrun_by_status"),
            models.Index(fields=["-queued_at"], name="taskrun_by_age"),
            models.Index(
                fields=["correlation_id", "-queued_at"],
                name="taskrun_by_correlation_id",
                condition=~Q(correlation_id=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} [{self.id}]"

    def mark_done(self) -> bool:
        """Write that the task is done; False if another worker has claimed the row."""
        return self.finish(status=self.Status.DONE, last_error="", finished_at=FromNow())

    def mark_retrying(self, delay: timedelta, error: object, **values: Any) -> bool:
        """Queue the row for its next attempt; False if another worker has claimed it."""
        return self.finish(
            status=self.Status.QUEUED,
            next_attempt_at=FromNow(delay),
            last_error=describe_error(error),
            first_failed_at=self.first_failed_at or FromNow(),
            **values,
        )

    @property
    def shown_arguments(self) -> dict[str, Any]:
        """The arguments for people, with every secret redacted."""
        return redacted_arguments(self.name, self.args, self.kwargs)

    @property
    def lacks_secrets(self) -> bool:
        """Whether a secret among the arguments or links was not stored, so that it cannot be replayed."""
        return REDACTED in str([self.args, self.kwargs, self.options])


class FailedTaskManager(models.Manager["FailedTask"]):
    """Sees only tasks that failed for good."""

    def get_queryset(self) -> models.QuerySet[FailedTask]:
        return super().get_queryset().filter(status=TaskRun.Status.FAILED)


class FailedTask(TaskRun):
    """A task that failed for good."""

    objects: ClassVar[FailedTaskManager] = FailedTaskManager()  # type: ignore[assignment]

    class Meta:
        proxy = True


class CrashCount(models.Model):
    """How many workers died with one plain task. A durable task's row counts by itself."""

    task_id = models.UUIDField(primary_key=True, editable=False)
    name = models.CharField(max_length=255)
    crashes = models.PositiveIntegerField(default=0)
    released = models.BooleanField(
        default=False,
        help_text="Its last worker returned the message: the next delivery is no crash.",
    )
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"{self.name} [{self.task_id}]: {self.crashes}"


class BeatLeaderQuerySet(models.QuerySet["BeatLeader"]):
    """Leader election among Beats: each change is one conditional UPDATE, by the database's clock."""

    def acquire(self, token: uuid.UUID, holder: str, lease: timedelta) -> bool:
        """Become the leader.

        Args:
            token: known to this Beat only.
            holder: the name of this Beat, for people.
            lease: how long no other Beat can lead.

        Returns:
            False if another Beat leads.
        """
        self.get_or_create(pk=BeatLeader.ONLY)
        vacant = Q(token=None) | Q(token=token) | Q(lease_until__lt=Now())
        return (
            self.filter(vacant).update(token=token, holder=holder, lease_until=Now() + lease) == 1
        )

    def renew(self, token: uuid.UUID, lease: timedelta) -> bool:
        """Stay the leader; False if another Beat has taken over."""
        return self.filter(token=token).update(lease_until=Now() + lease) == 1

    def release(self, token: uuid.UUID) -> None:
        """Stop being the leader, so that another Beat need not wait for the end of the lease."""
        self.filter(token=token).update(token=None, holder="")


class BeatLeader(models.Model):
    """The one row that names the leading Beat, which sends all periodic tasks."""

    ONLY: ClassVar[int] = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=ONLY, editable=False)
    token = models.UUIDField(null=True, editable=False)
    holder = models.CharField(max_length=255, blank=True)
    lease_until = models.DateTimeField(db_default=Now())

    objects: ClassVar[BeatLeaderQuerySet] = BeatLeaderQuerySet.as_manager()  # type: ignore[assignment]

    def __str__(self) -> str:
        return self.holder or "no leader"


class PausedQueue(models.Model):
    """A queue from which no worker takes messages; publishing goes on."""

    queue = models.CharField(max_length=100)
    paused_by = models.CharField(max_length=255)
    paused_at = models.DateTimeField(db_default=Now())

    class Meta:
        # Not with the field, for which PostgreSQL would get a second index for LIKE.
        constraints = [models.UniqueConstraint(fields=["queue"], name="paused_queue_by_name")]

    def __str__(self) -> str:
        return f"{self.queue}, paused by {self.paused_by}"
