"""Tasks that left a row behind."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from durable.leases import DurableQuerySet, DurableRow
from durable.tasks.arguments import MASKED, masked_arguments

if TYPE_CHECKING:
    from datetime import timedelta


class TaskRun(DurableRow):
    """One run of a task; its id is the task's id."""

    class Status(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        # A plain task's: its message came again, so whoever had it may have died with it.
        REDELIVERED = "redelivered"

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
    first_failed_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    copy_of = models.OneToOneField(
        "self", on_delete=models.SET_NULL, null=True, blank=True, related_name="copy"
    )

    objects: ClassVar[DurableQuerySet[TaskRun]] = DurableQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        indexes = [
            *DurableRow.due_indexes("taskrun", "running"),
            models.Index(fields=["status", "-finished_at"], name="taskrun_by_status"),
        ]

    def __str__(self) -> str:
        return f"{self.name} [{self.id}]"

    @property
    def shown_arguments(self) -> dict[str, Any]:
        """The arguments for people: whatever stands under a secret's name is hidden."""
        return masked_arguments(self.name, self.args, self.kwargs)

    @property
    def lacks_secrets(self) -> bool:
        """Whether a secret among its arguments, or of what follows, was not kept: it cannot run again."""
        return MASKED in str([self.args, self.kwargs, self.options])


class FailedTaskManager(models.Manager["FailedTask"]):
    """Sees only what failed for good."""

    def get_queryset(self) -> models.QuerySet[FailedTask]:
        return super().get_queryset().filter(status=TaskRun.Status.FAILED)


class FailedTask(TaskRun):
    """A dead letter: a task that has failed for good."""

    objects: ClassVar[FailedTaskManager] = FailedTaskManager()  # type: ignore[assignment]

    class Meta:
        proxy = True


class BeatLeaderQuerySet(models.QuerySet["BeatLeader"]):
    """The lead among Beats: each change is one conditional UPDATE, by the database's clock."""

    def take(self, token: uuid.UUID, holder: str, lease: timedelta) -> bool:
        """Become the leader.

        Args:
            token: what only this Beat knows.
            holder: which Beat this is, for people.
            lease: how long nobody else may lead.

        Returns:
            False if another Beat leads.
        """
        self.get_or_create(pk=BeatLeader.ONLY)
        vacant = Q(token=None) | Q(token=token) | Q(lease_until__lt=Now())
        return (
            self.filter(vacant).update(token=token, holder=holder, lease_until=Now() + lease) == 1
        )

    def renew(self, token: uuid.UUID, lease: timedelta) -> bool:
        """Stay the leader; False if another Beat has been it meanwhile."""
        return self.filter(token=token).update(lease_until=Now() + lease) == 1

    def give_back(self, token: uuid.UUID) -> None:
        """Stop being the leader, so that another Beat need not wait for the end of the lease."""
        self.filter(token=token).update(token=None, holder="")


class BeatLeader(models.Model):
    """The one row that says which Beat fires."""

    ONLY: ClassVar[int] = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=ONLY, editable=False)
    token = models.UUIDField(null=True, editable=False)
    holder = models.CharField(max_length=255, blank=True)
    lease_until = models.DateTimeField(db_default=Now())

    objects: ClassVar[BeatLeaderQuerySet] = BeatLeaderQuerySet.as_manager()  # type: ignore[assignment]

    def __str__(self) -> str:
        return self.holder or "nobody"
