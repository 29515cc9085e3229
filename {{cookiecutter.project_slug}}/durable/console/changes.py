"""Detects changed work, so that an open page of the console can refresh. It costs the workers nothing."""

from typing import Any

from durable.console.models import AuditEntry
from durable.mail.models import Email, EmailEvent
from durable.tasks.models import TaskRun


def work_version() -> str:
    """Return a text that changes when tasks or emails are queued, start or end, or a person acts.

    Reads the ends of some indexes, so the size of the tables does not matter. While other tasks run, a
    retry may leave the text unchanged.
    """
    status = TaskRun.Status
    ends: list[tuple[Any, str]] = [
        (TaskRun.objects.all(), "queued_at"),
        (TaskRun.objects.filter(status=status.RUNNING), "lease_until"),
        (TaskRun.objects.filter(status=status.DONE), "finished_at"),
        (TaskRun.objects.filter(status=status.FAILED), "finished_at"),
        (Email.objects.all(), "queued_at"),
        (Email.objects.filter(status=Email.Status.SENDING), "lease_until"),
        (EmailEvent.objects.all(), "pk"),
        (AuditEntry.objects.all(), "pk"),
    ]
    return " ".join(str(newest(rows, field)) for rows, field in ends)


def newest(rows: Any, field: str) -> object:
    """Return the largest value of a field, which an index has at its end."""
    known = rows.filter(**{f"{field}__isnull": False})
    return known.order_by(f"-{field}").values_list(field, flat=True).first()
