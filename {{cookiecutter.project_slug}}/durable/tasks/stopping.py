"""Stops tasks that run: a row is canceled, and the worker kills the process that runs the task."""

from collections.abc import Iterable, Sequence
from uuid import UUID

import structlog
from celery import current_app
from celery.exceptions import TaskRevokedError

from durable.broker.circuit import circuit
from durable.db import on_commit_robust
from durable.errors import BROKER_ERRORS
from durable.tasks.models import TaskRun

logger = structlog.get_logger(__name__)

STOPPED = "Stopped while it ran: a part of its work may be done."


def stop(pks: Iterable[UUID]) -> list[UUID]:
    """Cancel rows that run, and kill their processes after the commit.

    Without the broker the rows are canceled all the same, and the processes run to their end.

    Returns:
        the keys of the rows that ran.
    """
    running = TaskRun.objects.filter(status=TaskRun.Status.RUNNING)
    stopped = [pk for pk in pks if running.filter(pk=pk).fail(TaskRevokedError.__name__, STOPPED)]
    if stopped:
        on_commit_robust(kill_processes, [str(pk) for pk in stopped])
    return stopped


def kill_processes(task_ids: Sequence[str]) -> bool:
    """Let workers kill the processes of tasks; return whether the broker took the command.

    A plain task is acknowledged, and does not run again. The signal is one that a process cannot
    ignore: workers let theirs ignore SIGTERM or SIGQUIT, depending on how they stop.
    """
    try:
        with circuit.guard():
            current_app.control.revoke(list(task_ids), terminate=True, signal="SIGKILL")
    except BROKER_ERRORS as error:
        logger.warning("broker_unreachable", error=str(error))
        return False
    return True
