"""Messages of plain tasks that came again: counted, so that one that kills its workers stops.

Redis says that a message was delivered before, and not how often. So a plain task gets a row when
its message comes again; it goes when the task ends. A durable task's row counts by itself.
"""

from typing import Any

import structlog
from django.db import DatabaseError

from durable.leases import MOST_LOSSES, WorkersLostError
from durable.tasks import runs
from durable.tasks.arguments import kept_arguments
from durable.tasks.models import TaskRun

logger = structlog.get_logger(__name__)

GIVEN_BACK = {"given_back": True}


def is_redelivered(request: Any) -> bool:
    """Say whether a plain task's message was delivered before."""
    return bool((request.delivery_info or {}).get("redelivered"))


def count(task: Any) -> None:
    """Count that the message of the running plain task came again.

    Raises:
        WorkersLostError: it came once too often.
    """
    try:
        losses = counted(row_of(task.name, task.request))
    except DatabaseError as error:  # a task that needs no database runs without one
        logger.warning("redelivery_not_counted", task=task.name, error=str(error))
        return
    if losses >= MOST_LOSSES:
        raise WorkersLostError(f"{losses} workers in a row have died with this task")


def counted(row: TaskRun) -> int:
    """Count the loss of a worker, unless that has given the message back; return how many were lost."""
    if row.options:
        row.options = {}
    else:
        row.losses += 1
    row.save(update_fields=["losses", "options"])
    return row.losses


def note_given_back(name: str, request: Any) -> None:
    """Remember that a worker stops in peace, so that its message does not count when it comes again."""
    row = row_of(name, request)
    row.options = GIVEN_BACK
    row.save(update_fields=["options"])


def forget(request: Any) -> None:
    """Drop the row of a message that came again, since its task has ended well."""
    if is_redelivered(request):
        TaskRun.objects.filter(
            pk=runs.row_id(request.id), status=TaskRun.Status.REDELIVERED
        ).delete()


def row_of(name: str, request: Any) -> TaskRun:
    """Return the row of a plain task's message, made if there is none."""
    row, _made = TaskRun.objects.get_or_create(
        id=runs.row_id(request.id),
        defaults={
            "name": name,
            "status": TaskRun.Status.REDELIVERED,
            "queue": runs.queue_of(request),
            **kept_arguments(name, request.args, request.kwargs),
        },
    )
    return row
