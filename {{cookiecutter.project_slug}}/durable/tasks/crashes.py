"""Counts how often a plain task's worker died, so that a task that kills its workers stops.

Redis marks a message that was delivered before, but not how often. So a plain task gets a row when
its message is delivered again; the row goes when the task ends.
"""

from typing import Any

import structlog
from django.db import DatabaseError

from durable.errors import PoisonTaskError
from durable.leases import MAX_CRASHES
from durable.tasks.enqueue import row_id
from durable.tasks.models import CrashCount

logger = structlog.get_logger(__name__)


def is_redelivered(request: Any) -> bool:
    """Whether a plain task's message was delivered before."""
    return bool((request.delivery_info or {}).get("redelivered"))


def count_crash(task: Any) -> None:
    """Count that the message of the running plain task was delivered again.

    Raises:
        PoisonTaskError: its workers have died MAX_CRASHES times.
    """
    try:
        crashes = counted(task)
    except DatabaseError as error:  # a task that needs no database runs without one
        logger.warning("crash_not_counted", task=task.name, error=str(error))
        return
    if crashes >= MAX_CRASHES:
        raise PoisonTaskError(f"{crashes} workers in a row have died with this task")


def counted(task: Any) -> int:
    """Count a crash, unless the last worker has released the message; return all crashes."""
    row, _new = CrashCount.objects.get_or_create(
        task_id=row_id(task.request.id), defaults={"name": task.name}
    )
    row.crashes += not row.released
    row.released = False
    row.save()
    return row.crashes


def record_release(name: str, request: Any) -> None:
    """Record that a worker shuts down cleanly, so that the next delivery is no crash."""
    CrashCount.objects.update_or_create(
        task_id=row_id(request.id),
        defaults={"released": True},
        create_defaults={"name": name, "released": True},
    )


def forget(request: Any) -> None:
    """Delete the count of a message that was delivered again: its task has ended."""
    if is_redelivered(request):
        CrashCount.objects.filter(task_id=row_id(request.id)).delete()
