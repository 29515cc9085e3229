"""Stores a row of every task that failed for good, and replays it."""

from functools import partial
from typing import Any

import structlog
from celery.exceptions import TimeLimitExceeded
from django.db import DatabaseError, InterfaceError, transaction
from django.db.models import Q
from django.db.models.functions import Greatest, Now
from django.utils.dateparse import parse_datetime

from durable.correlation import correlation_id
from durable.db import close_connections, on_commit_robust
from durable.errors import DATABASE_ERRORS
from durable.tasks import canvas
from durable.tasks.enqueue import publish_or_log, queue_for, row_id
from durable.tasks.execute import claimed_run
from durable.tasks.models import TaskRun
from durable.tasks.redaction import find_task, redact, stored_arguments
from durable.text import clean_text, describe_error

logger = structlog.get_logger(__name__)


def record_failure(
    task_id: str,
    name: str,
    error: BaseException | None,
    args: Any,
    kwargs: Any,
    **values: Any,
) -> None:
    """Write a failed task. A database that is away must not hide the task's own error.

    Args:
        task_id, name: of the task.
        error: what it failed with.
        args, kwargs: its arguments.
        values: more fields of the row; `options` and `first_failed_at` for a task that has no row yet.
    """
    write = partial(write_failure, task_id, name, error, args, kwargs, **values)
    try:
        try:
            write()
        except DATABASE_ERRORS:
            close_connections()  # perhaps the task failed with the connection
            write()
    except (DatabaseError, InterfaceError):
        logger.exception("failed_task_not_recorded", task=name, task_id=task_id)
    finally:
        close_connections()


def write_failure(
    task_id: str,
    name: str,
    error: BaseException | None,
    args: Any,
    kwargs: Any,
    *,
    attempts: int = 1,
    first_failed_at: str | None = None,
    options: dict[str, Any] | None = None,
    **values: Any,
) -> None:
    """Write a failed task into its row, or into a new one; see `record_failure`."""
    error_type, reason = type(error).__name__, describe_error(error)
    # An empty value is unknown here, and may be in the row already.
    known = {key: clean_text(value) for key, value in values.items() if value}
    row = TaskRun.objects.filter(pk=row_id(task_id))
    held = failing(row, task_id, error, values.get("worker", ""))
    if held.fail(error_type, reason, attempts=Greatest("attempts", attempts), **known):
        return
    if row.exists():
        logger.warning("task_lease_lost", task=name, task_id=task_id)
        return
    TaskRun.objects.create(
        id=row_id(task_id),
        name=clean_text(name)[:255],
        status=TaskRun.Status.FAILED,
        error_type=clean_text(error_type)[:255],
        last_error=reason,
        attempts=attempts,
        correlation_id=correlation_id(),
        first_failed_at=parse_datetime(first_failed_at) if first_failed_at else Now(),
        finished_at=Now(),
        options=redact(options or {}),
        **stored_arguments(name, args, kwargs),
        **known,
    )


def failing(row: Any, task_id: str, error: BaseException | None, worker: str) -> Any:
    """Return the row that a failure belongs to: the one that this process claimed, or an open one.

    A worker's main process has no lease token, and may learn of a death when the task is done, or
    when another worker runs it.
    """
    if run := claimed_run(task_id):
        return row.filter(lease_token=run.lease_token)
    of_others = Q(status=TaskRun.Status.RUNNING) & ~Q(worker=worker)
    undone = row.exclude(status=TaskRun.Status.DONE).exclude(of_others)
    if isinstance(error, TimeLimitExceeded):  # a row that is still queued has not run
        undone = undone.exclude(status=TaskRun.Status.QUEUED)
    return undone


def links_of(request: Any) -> dict[str, Any]:
    """Return what follows a task, if it has the form that Celery gives it."""
    try:
        return canvas.stored_options(
            {"chain": request.chain, "link": request.callbacks, "link_error": request.errbacks}
        )
    except (AttributeError, KeyError, TypeError):  # of another publisher; the failure is stored
        return {}


def replay(failed: TaskRun) -> TaskRun:
    """Run a failed task again, with the same arguments and an id of its own.

    Returns:
        the new run; the same one for a second call.

    Raises:
        ValueError: why it cannot be replayed.
    """
    task = find_task(failed.name)
    if task is None:
        raise ValueError(f"{failed}: there is no task of this name any more")
    if reason := getattr(task, "no_replay", ""):
        raise ValueError(f"{failed}: {reason}")
    if failed.lacks_secrets:
        raise ValueError(
            f"{failed}: a secret among its arguments was not stored: call the task again"
        )
    with transaction.atomic():
        run, new = TaskRun.objects.get_or_create(
            replay_of=failed,
            defaults={
                "name": failed.name,
                "args": failed.args,
                "kwargs": failed.kwargs,
                "queue": failed.queue or queue_for(failed.name),
                "options": {**failed.options, "retries": 0, "headers": {}},
                "correlation_id": failed.correlation_id,
                "user_id": failed.user_id,
            },
        )
        if new:
            on_commit_robust(publish_or_log, run)
    return run
