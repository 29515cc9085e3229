"""Runs a task from its row: claims the row of a message, and calls the task with the row's arguments."""

from contextvars import ContextVar
from datetime import timedelta
from functools import partial
from typing import Any

import structlog
from celery.exceptions import Ignore, SoftTimeLimitExceeded
from django.db import DatabaseError, InterfaceError
from django.utils import timezone

from durable import tracing
from durable.conf import conf
from durable.db import close_connections, retry_until_written
from durable.errors import PoisonTaskError
from durable.tasks.enqueue import queue_of, row_id
from durable.tasks.models import TaskRun

logger = structlog.get_logger(__name__)

# The row that this process has claimed last, with its lease token; see `claimed_run`.
_claimed: ContextVar[TaskRun | None] = ContextVar("claimed", default=None)


def claimed_run(task_id: str) -> TaskRun | None:
    """Return the row that this process has claimed for a task, or None."""
    run = _claimed.get()
    return run if run is not None and run.pk == row_id(task_id) else None


def claim(task: Any) -> TaskRun:
    """Claim the row of the message that a task is called for.

    Raises:
        Ignore: the row is not due, another worker holds it, or the database is away or too slow.
    """
    request = task.request
    values = {"worker": request.hostname or "", "queue": queue_of(request)}
    try:
        run = TaskRun.objects.claim(row_id(request.id), lease_of(task), **values)
    except (DatabaseError, InterfaceError, SoftTimeLimitExceeded) as error:
        # Nothing has run, so nothing has failed. The row waits for a sweep or, if the database has
        # written the claim after all, for the end of its lease.
        logger.warning("task_not_claimed", task=task.name, task_id=request.id, error=str(error))
        close_connections()  # one may be in the middle of an answer
        raise Ignore from error
    if run is None:
        logger.info("task_not_claimed", task=task.name, task_id=request.id)
        raise Ignore
    _claimed.set(run)
    return run


def execute(task: Any, call: Any) -> Any:
    """Run a task from the row of its message.

    Args:
        task: the task that Celery calls.
        call: calls it with arguments.

    Raises:
        Ignore: see `claim`; or the task itself raises it, and is done.
        PoisonTaskError: several workers in a row have died with it.
    """
    _claimed.set(None)
    run = claim(task)
    task.request.args, task.request.kwargs = run.args, run.kwargs  # a retry may change them
    # A sweep may have published the message; what the task queues belongs to the same request.
    caused_by = {"user_id": run.user_id} if run.user_id else {}
    ids = {"correlation_id": run.correlation_id or str(run.pk), "attempt": run.attempts}
    structlog.contextvars.bind_contextvars(**ids, **caused_by)
    postpone_if_arguments_do_not_fit(task, run)
    if run.is_poison:
        raise PoisonTaskError(f"{run.crashes} workers in a row have died with this task")
    try:
        with tracing.span(
            task.name, run.traceparent, tracing.attributes_of(task.request), stays=True
        ):
            return call(*run.args, **run.kwargs)
    except Ignore:  # Celery sends no signal
        mark_done(task, run)
        raise


def postpone_if_arguments_do_not_fit(task: Any, run: TaskRun) -> None:
    """Queue a row again whose arguments are of another version of the task, as during a release.

    Raises:
        Ignore: a worker of that version may come.
        TypeError: none has come within RELEASE_WINDOW.
    """
    try:
        task.__header__(*run.args, **run.kwargs)
    except TypeError as error:
        if run.first_failed_at and timezone.now() - run.first_failed_at > conf.RELEASE_WINDOW:
            raise
        logger.warning("task_postponed", task=task.name, task_id=str(run.pk), error=str(error))
        retry_until_written(
            partial(run.mark_retrying, conf.RELEASE_RETRY_DELAY, error), lease_of(task)
        )
        raise Ignore from error


def lease_of(task: Any) -> timedelta:
    """Return how long a worker holds the row of a task: a little longer than the task may run."""
    hard, _soft = task.request.timelimit or (None, None)
    seconds = hard or task.time_limit or conf.visibility_timeout
    return timedelta(seconds=seconds) + conf.TASK_LEASE_MARGIN


def mark_done(task: Any, run: TaskRun) -> None:
    """Write that the run of a task is done."""
    if not retry_until_written(run.mark_done, lease_of(task)):
        logger.warning("task_lease_lost", task=task.name, task_id=str(run.pk))
