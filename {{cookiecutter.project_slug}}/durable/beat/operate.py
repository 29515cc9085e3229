"""What an operator can do to a periodic task: run it now, enable and disable it."""

from django.utils import timezone
from django_celery_beat.models import PeriodicTask, PeriodicTasks

from durable.beat.entries import DeclaredEntry
from durable.errors import BROKER_ERRORS
from durable.tasks.redaction import find_task


def publish(row: PeriodicTask) -> str:
    """Publish the task of a row; return why that failed, or an empty string."""
    entry, task = DeclaredEntry(row), find_task(row.task)
    if task is None:
        return "no task has this name"
    try:
        task.apply_async(entry.args, entry.kwargs, **entry.options)
    except BROKER_ERRORS as error:
        return f"the broker does not answer: {error}"
    except (TypeError, ValueError) as error:
        return str(error)
    return ""


def enable(row: PeriodicTask) -> bool:
    """Enable a periodic task; return whether it was disabled.

    The runs that it has missed are not made up for: the next one is due as if the row were new.
    """
    disabled = PeriodicTask.objects.filter(pk=row.pk, enabled=False)
    new = {"enabled": True, "last_run_at": None, "date_changed": timezone.now()}
    return notify_beat(disabled.update(**new))


def disable(row: PeriodicTask) -> bool:
    """Disable a periodic task; return whether it was enabled."""
    enabled = PeriodicTask.objects.filter(pk=row.pk, enabled=True)
    return notify_beat(enabled.update(enabled=False))


def notify_beat(changed: int) -> bool:
    """Let Beat read the schedule again if a row has changed; return whether one has."""
    if changed:
        PeriodicTasks.update_changed()
    return bool(changed)
