"""What people did in the console."""

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Now


class AuditEntry(models.Model):
    """One action in the console; its row is written in the transaction of the action."""

    class Action(models.TextChoices):
        PAUSE = "pause"
        RESUME = "resume"
        REPLAY = "replay"
        CANCEL = "cancel"
        STOP = "stop"
        MOVE = "move"
        RUN = "run", "run now"
        DISCARD = "discard"
        RESEND = "resend"
        ENABLE = "enable"
        DISABLE = "disable"

    at = models.DateTimeField(db_default=Now())
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    user_text = models.CharField(max_length=255, help_text="Stays when the account is deleted.")
    action = models.CharField(max_length=20, choices=Action)
    kind = models.CharField(max_length=20, help_text="Of the target: queue, task, email …")
    target = models.CharField(max_length=255, blank=True, help_text="Its id or name, if one.")
    count = models.PositiveIntegerField(default=1, help_text="Rows that were changed.")
    detail = models.TextField(blank=True)

    class Meta:
        indexes = [models.Index(fields=["at"], name="audit_entry_by_age")]
        default_permissions: ClassVar[tuple[str, ...]] = ()
        permissions = [
            ("view_console", "Can see the console"),
            ("pause_queues", "Can pause and resume queues"),
            ("replay_work", "Can replay tasks and resend emails"),
            ("cancel_work", "Can cancel waiting work"),
            ("stop_work", "Can stop running work"),
            ("move_work", "Can move waiting tasks to another queue"),
            ("run_work", "Can run scheduled work now"),
            ("change_schedule", "Can run, enable and disable periodic tasks"),
            ("discard_work", "Can discard failed tasks"),
        ]

    def __str__(self) -> str:
        return f"{self.user_text}: {self.action} {self.count} {self.kind}"


class BulkJob(models.Model):
    """An action on many rows, in the background; its audit entry counts the rows that it has changed."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    entry = models.OneToOneField(AuditEntry, on_delete=models.CASCADE, related_name="job")
    query = models.TextField(blank=True, help_text="The filters of the list.")
    total = models.PositiveIntegerField(help_text="Rows that matched when it was confirmed.")
    done = models.PositiveIntegerField(default=0, help_text="Rows that it has looked at.")
    after = models.UUIDField(
        null=True, help_text="The last of them; they are in the order of keys."
    )
    problems = models.JSONField(default=list)
    ended_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.entry}: {self.done} of {self.total}"
