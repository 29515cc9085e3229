"""Tasks that left a row behind."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models

from apps.tasks.durable import DurableQuerySet, DurableRow


class TaskRun(DurableRow):
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
    queue = models.CharField(max_length=100, blank=True)
    status = models.CharField(max_length=20, choices=Status, default=Status.QUEUED)
    worker = models.CharField(max_length=255, blank=True)
    traceback = models.TextField(blank=True)
    correlation_id = models.CharField(max_length=100, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[DurableQuerySet[TaskRun]] = DurableQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        indexes = [
            *DurableRow.due_indexes("taskrun", "running"),
            models.Index(fields=["status", "-finished_at"], name="taskrun_by_status"),
        ]

    def __str__(self) -> str:
        return f"{self.name} [{self.id}]"


class FailedTaskManager(models.Manager["FailedTask"]):
    """Sees only what failed for good."""

    def get_queryset(self) -> models.QuerySet[FailedTask]:
        return super().get_queryset().filter(status=TaskRun.Status.FAILED)


class FailedTask(TaskRun):
    """A dead letter: a task that has failed for good."""

    objects: ClassVar[FailedTaskManager] = FailedTaskManager()  # type: ignore[assignment]

    class Meta:
        proxy = True
