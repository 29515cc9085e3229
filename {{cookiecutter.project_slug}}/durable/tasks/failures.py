"""Keeps a row of every task that has failed for good, and lets people run it again."""

from functools import partial
from typing import Any

import structlog
from celery import signals
from celery.app.task import Context
from celery.exceptions import TimeLimitExceeded
from django.db import DatabaseError, InterfaceError, OperationalError, transaction
from django.db.models import Q
from django.db.models.functions import Coalesce, Greatest, Now
from django.utils.dateparse import parse_datetime

from durable.correlation import correlation_id
from durable.tasks import canvas, crashes, runs
from durable.tasks.arguments import kept_arguments, masked, printable, task_named
from durable.tasks.base import FIRST_FAILED_AT, TEMPORARY
from durable.tasks.models import TaskRun

logger = structlog.get_logger(__name__)


@signals.task_failure.connect
def keep_failed_task(
    *,
    sender: Any = None,
    task_id: str = "",
    exception: BaseException | None = None,
    args: Any = (),
    kwargs: Any = None,
    einfo: Any = None,
    **_: Any,
) -> None:
    """Write the dead letter of a task that failed, ran out of time, or died with its worker."""
    keep_failed(sender, sender.request, task_id, exception, args, kwargs, einfo)


@signals.task_internal_error.connect
def keep_broken_off_task(
    *,
    sender: Any = None,
    task_id: str = "",
    exception: BaseException | None = None,
    args: Any = (),
    kwargs: Any = None,
    request: Any = None,
    einfo: Any = None,
    **_: Any,
) -> None:
    """Write the dead letter of a task that failed after its work, as when what follows does not fit.

    Celery has taken the request away from the task by then, and tells of the failure once more.
    """
    context = Context(request)
    if context.is_eager:  # a mere call, which raises
        return
    if not (runs.has_row(context) and isinstance(exception, TEMPORARY)):  # then its lease runs out
        keep_failed(sender, context, task_id, exception, args, kwargs, einfo)


def keep_failed(  # noqa: PLR0917 - what Celery's signals tell
    task: Any,
    request: Any,
    task_id: str,
    exception: BaseException | None,
    args: Any,
    kwargs: Any,
    einfo: Any,
) -> None:
    """Write the dead letter of a task that a request was for."""
    keep(
        task_id,
        task.name,
        exception,
        args,
        kwargs,
        run=getattr(request, "run", None),
        attempts=(request.retries or 0) + 1,
        queue=runs.queue_of(request),
        worker=request.hostname or "",
        traceback=str(getattr(einfo, "traceback", "")),
        first_failed_at=getattr(request, FIRST_FAILED_AT, None),
        options=what_follows(request),
    )


def what_follows(request: Any) -> dict[str, Any]:
    """Return the links of a task, if they have the form that Celery gives them."""
    try:
        return canvas.kept_options(
            {"chain": request.chain, "link": request.callbacks, "link_error": request.errbacks}
        )
    except (AttributeError, KeyError, TypeError):  # a stranger's; the failure itself is kept
        return {}


@signals.task_unknown.connect
def keep_unknown_task(
    *, sender: Any = None, message: Any = None, name: str = "", **about: Any
) -> None:
    """Write the dead letter of a message whose task this worker does not know."""
    error = LookupError(f"no task of this name is known to {sender.hostname}")
    args, kwargs = arguments_of(message)
    keep(about["id"], name, error, args, kwargs, worker=sender.hostname)


@signals.task_rejected.connect
def keep_rejected_message(
    *, message: Any = None, exc: BaseException | None = None, sender: Any = None, **_: Any
) -> None:
    """Write the dead letter of a message that no task can be made of."""
    headers = message.headers or {}
    error = exc or ValueError("the message names no task")
    task_id, name = str(headers.get("id") or ""), str(headers.get("task") or "unknown")
    keep(task_id or str(message.delivery_tag), name, error, (), {}, worker=sender.hostname)


def arguments_of(message: Any) -> tuple[Any, Any]:
    """Return the arguments in a message, if it is JSON as this service sends it."""
    try:
        args, kwargs, _links = message.decode()
    except Exception:  # noqa: BLE001 - whatever a stranger sent, there is nothing to keep of it
        return (), {}
    return args, kwargs


def keep(
    task_id: str,
    name: str,
    error: BaseException | None,
    args: Any,
    kwargs: Any,
    **values: Any,
) -> None:
    """Write a dead letter. A database that is away must not hide the task's own error."""
    write = partial(write_down, task_id, name, error, args, kwargs, **values)
    try:
        try:
            write()
        except (InterfaceError, OperationalError):
            # Perhaps it was the connection that failed the task.
            runs.close_connections()
            write()
    except (DatabaseError, InterfaceError):
        logger.exception("failed_task_not_recorded", task=name, task_id=task_id)
    finally:
        runs.close_connections()


def write_down(
    task_id: str,
    name: str,
    error: BaseException | None,
    args: Any,
    kwargs: Any,
    *,
    run: TaskRun | None = None,
    attempts: int = 1,
    first_failed_at: str | None = None,
    options: dict[str, Any] | None = None,
    **values: Any,
) -> None:
    """Write a dead letter into the task's row, or into one of its own; see `keep`."""
    row = TaskRun.objects.filter(pk=runs.row_id(task_id))
    # The worker's main process has no token, and may learn of a death after the task was done,
    # or while another worker has it.
    others = Q(status=TaskRun.Status.RUNNING) & ~Q(worker=values.get("worker", ""))
    undone = row.exclude(status=TaskRun.Status.DONE).exclude(others)
    if isinstance(error, TimeLimitExceeded):  # a row that still waits was waited for, and never ran
        undone = undone.exclude(status=TaskRun.Status.QUEUED)
    held = row.filter(lease_token=run.lease_token) if run else undone
    failed = {
        "status": TaskRun.Status.FAILED,
        "error_type": type(error).__name__,
        "last_error": runs.describe(error),
        "finished_at": Now(),
        "lease_token": None,
        "lease_until": None,
        # What is not known now may be in the row already.
        **{key: printable(value) for key, value in values.items() if value},
    }
    if held.update(
        **failed,
        attempts=Greatest("attempts", attempts),
        first_failed_at=Coalesce("first_failed_at", Now()),
    ):
        return
    if row.exists():
        logger.warning("task_lease_lost", task=name, task_id=task_id)
        return
    TaskRun.objects.create(
        id=runs.row_id(task_id),
        name=printable(name)[:255],
        attempts=attempts,
        correlation_id=correlation_id(),
        first_failed_at=parse_datetime(first_failed_at) if first_failed_at else Now(),
        options=masked(options or {}),
        **kept_arguments(name, args, kwargs),
        **failed,
    )


@signals.task_success.connect
@signals.task_retry.connect
def forget_redelivery(*, sender: Any, **_: Any) -> None:
    """Drop the count of a plain task that came to an end."""
    if not runs.has_row(sender.request):
        crashes.forget(sender.request)


def run_again(failed: TaskRun) -> TaskRun:
    """Run a task that has failed once more, with the same arguments and an id of its own.

    Returns:
        the new run; the same one for a second call.

    Raises:
        ValueError: it cannot run again, and why.
    """
    task = task_named(failed.name)
    if task is None:
        raise ValueError(f"{failed}: no task of this name is known any more")
    if reason := getattr(task, "why_not_again", ""):
        raise ValueError(f"{failed}: {reason}")
    if failed.lacks_secrets:
        raise ValueError(f"{failed}: a secret among its arguments was not kept: call it anew")
    with transaction.atomic():
        run, made = TaskRun.objects.get_or_create(
            copy_of=failed,
            defaults={
                "name": failed.name,
                "args": failed.args,
                "kwargs": failed.kwargs,
                "queue": failed.queue or runs.queue_for(failed.name),
                "options": {**failed.options, "retries": 0},
                "correlation_id": failed.correlation_id,
            },
        )
        if made:
            transaction.on_commit(partial(runs.ring, run), robust=True)
    return run
