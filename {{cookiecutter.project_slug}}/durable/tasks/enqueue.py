"""A durable task is a row, written in the caller's transaction. Its message carries only the row's id.

A worker that receives the message claims the row and runs the task with the row's arguments
(durable/tasks/execute.py). `tasks.requeue_stuck_runs` publishes a lost message again; a second message
finds nothing to claim.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import structlog
from celery import current_app
from celery.exceptions import TaskRevokedError
from django.db.models import Q
from django.db.models.functions import Now
from structlog.contextvars import bound_contextvars

from durable import sentry, tracing
from durable.broker.circuit import circuit
from durable.conf import conf
from durable.correlation import correlation_id, user_id
from durable.db import on_commit_robust
from durable.errors import BROKER_ERRORS
from durable.tasks import canvas
from durable.tasks.models import TaskRun
from durable.tasks.validation import to_stored_arguments
from durable.text import clean_text, dump_json

logger = structlog.get_logger(__name__)

HEADER = "task_run"  # in the header of a message: its task has a row
ATTEMPT = "task_attempt"  # in the header of the same: which attempt it starts
CANCELED = "Canceled before it started."


def row_id(task_id: str) -> uuid.UUID:
    """Return the primary key of a task's row; other publishers may use ids of any form."""
    try:
        return uuid.UUID(task_id)
    except ValueError:
        return uuid.uuid5(uuid.NAMESPACE_OID, clean_text(task_id))


def has_row(request: Any) -> bool:
    """Whether the task of a request runs from a row."""
    return bool(getattr(request, HEADER, False))


def enqueue(
    task: Any,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    delay: timedelta,
    options: dict[str, Any],
) -> TaskRun:
    """Write the row of a task, and publish its message after the commit.

    Args:
        task: what to run.
        args, kwargs: its arguments, JSON only.
        delay: from now until it may start.
        options: those of `apply_async`.

    Raises:
        TypeError: the arguments do not fit the task, or are no JSON.
        ValueError: the database cannot hold an argument, or a durable task cannot have an option.
    """
    task.__header__(*args, **kwargs)
    stored_args, stored_kwargs = to_stored_arguments(task.name, args, kwargs)
    links = dump_json(f"{task.name}: links", canvas.stored_options(options))
    fields = {
        "name": task.name,
        "args": stored_args,
        "kwargs": stored_kwargs,
        "options": json.loads(links),
        "queue": queue_for(task.name, **{"queue": getattr(task, "queue", None), **options}),
        "next_attempt_at": Now() + delay,
        "traceparent": tracing.traceparent(),
        "user_id": user_id(),
    }
    task_id = options.get("task_id")
    key = row_id(task_id) if task_id else uuid.uuid4()
    fields["correlation_id"] = correlation_id() or str(key)
    if task_id:
        # A link that is published again has the same id, and its row exists already.
        run, _new = TaskRun.objects.get_or_create(id=key, defaults=fields)
    else:
        run = TaskRun.objects.create(id=key, **fields)
    # Robust: if publishing fails, the row is there, and the next sweep finds it.
    on_commit_robust(publish_or_log, run, delay)
    return run


def publish_or_log(run: TaskRun, delay: timedelta = timedelta(0)) -> bool:
    """Publish the message of a row; log it if the broker does not answer.

    Args:
        run: the row.
        delay: until the row is due. A distant start gets no message now: a sweep finds the row.

    Returns:
        whether a message was published.
    """
    seconds = delay.total_seconds()
    if seconds > conf.visibility_timeout:
        return False
    if seconds:
        seconds += conf.TASK_RETRY_MARGIN.total_seconds()
    try:
        with circuit.guard():
            publish(run, countdown=seconds or None)
    except BROKER_ERRORS as error:
        logger.warning("broker_unreachable", task=run.name, task_id=str(run.pk), error=str(error))
        return False
    return True


def publish(run: TaskRun, producer: Any = None, **options: Any) -> None:
    """Publish the message of a row.

    Raises:
        kombu.exceptions.OperationalError: the broker does not answer.
    """
    task = current_app.tasks.get(run.name)
    if run.queue in current_app.amqp.queues:  # a queue that was removed: the route decides
        options["queue"] = run.queue
    headers = {HEADER: True, ATTEMPT: run.attempts + 1, **run.options.get("headers", {})}
    if sentry.is_on():
        headers |= sentry.message_headers(run.traceparent)
    stored = {"ignore_result": getattr(task, "ignore_result", True), **run.options, **options}
    with bound_contextvars(correlation_id=run.correlation_id or str(run.pk)):
        current_app.send_task(
            run.name,
            task_id=str(run.pk),
            producer=producer,
            task_type=task,
            add_to_parent=False,
            **stored | {"headers": headers},
        )


def queue_for(name: str, **options: Any) -> str:
    """Return the queue that a task goes to."""
    return str(current_app.amqp.router.route(options, name)["queue"].name)


def queue_of(request: Any) -> str:
    """Return the queue that a request came from."""
    return str((request.delivery_info or {}).get("routing_key") or "")


def cancel(task_id: str, *, also: Q | None = None) -> bool:
    """Cancel a durable task that no worker has started, however distant its start is.

    The task is stored as a failed one, which can be replayed. Receivers of Celery's signals are not
    called.

    Args:
        task_id: the id that `apply_async` returned.
        also: further rows to cancel, such as those that a worker has just ended.

    Returns:
        whether it was canceled in time.
    """
    queued = Q(status=TaskRun.Status.QUEUED)
    rows = TaskRun.objects.filter(queued | also if also else queued, pk=row_id(task_id))
    return rows.fail(TaskRevokedError.__name__, CANCELED)
