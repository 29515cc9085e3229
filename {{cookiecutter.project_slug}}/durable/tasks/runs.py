"""Durable tasks: a row each, written in the caller's transaction; its message only says "look".

The message carries no arguments. Whoever receives it claims the row, runs the task with the
row's arguments, and writes down how it ended. A message that was lost is published again by
`tasks.requeue_stuck_runs`; one that comes twice finds nothing to claim.
"""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog
from celery import current_app, signals
from celery.exceptions import Ignore, SoftTimeLimitExceeded, TaskRevokedError, WorkerLostError
from celery.utils.time import maybe_make_aware
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connections, transaction
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Now
from django.utils import timezone
from kombu.exceptions import OperationalError

from durable.broker.circuit import circuit
from durable.correlation import correlation_id
from durable.leases import WorkersLostError, persistently
from durable.tasks import canvas
from durable.tasks.arguments import as_json, printable
from durable.tasks.models import TaskRun

logger = structlog.get_logger(__name__)

# In the header of a message: its task has a row.
HEADER = "task_run"


def row_id(task_id: str) -> uuid.UUID:
    """Return the primary key of a task's row; foreign publishers may use ids of any form."""
    try:
        return uuid.UUID(task_id)
    except ValueError:
        return uuid.uuid5(uuid.NAMESPACE_OID, task_id)


def has_row(request: Any) -> bool:
    """Say whether the task of a request is run from a row."""
    return bool(getattr(request, HEADER, False))


def record(
    task: Any,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    delay: timedelta,
    options: dict[str, Any],
) -> TaskRun:
    """Write the row of a task, and ring for it after the commit.

    Args:
        task: what to run.
        args, kwargs: its arguments, JSON only.
        delay: how long from now it may start at the earliest.
        options: those of `apply_async`.

    Raises:
        TypeError: the arguments do not fit the task, or JSON.
        ValueError: an option cannot hold for a durable task.
    """
    if options.get("expires") is not None or options.get("expire_seconds") is not None:
        raise ValueError(f"{task.name}: a durable task does not expire: leave `expires` out")
    task.__header__(*args, **kwargs)
    kept_args, kept_kwargs = as_json(task.name, args, kwargs)
    run = TaskRun(
        id=row_id(options.get("task_id") or str(uuid.uuid4())),
        name=task.name,
        args=kept_args,
        kwargs=kept_kwargs,
        options=canvas.kept_options(options),
        queue=queue_for(task.name, **options),
        next_attempt_at=Now() + delay,
        correlation_id=correlation_id(),
    )
    # A chain's link that is published again has the same id, and its row is there already.
    TaskRun.objects.bulk_create([run], ignore_conflicts=True)
    # Robust: whatever goes wrong here, the row is there, and the sweeper rings.
    transaction.on_commit(partial(ring, run, delay), robust=True)
    return run


def ring(run: TaskRun, delay: timedelta = timedelta(0)) -> bool:
    """Publish the message of a row, and only warn when the broker does not answer.

    Args:
        run: the row.
        delay: until the row is due. A start far away gets no message: the sweeper finds it.

    Returns:
        whether a message was published.
    """
    seconds = delay.total_seconds()
    if seconds > settings.CELERY_BROKER_TRANSPORT_OPTIONS["visibility_timeout"]:
        return False
    if seconds:
        # A worker's clock may run ahead of the database's.
        seconds += settings.TASK_RETRY_MARGIN.total_seconds()
    try:
        with circuit.publishing():
            publish(run, countdown=seconds or None)
    except OperationalError as error:
        logger.warning("broker_unreachable", task=run.name, task_id=str(run.pk), error=str(error))
        return False
    return True


def publish(run: TaskRun, producer: Any = None, **options: Any) -> None:
    """Publish the message of a row.

    Raises:
        kombu.exceptions.OperationalError: the broker does not answer.
    """
    task = current_app.tasks.get(run.name)
    if run.queue in current_app.amqp.queues:  # else the table says today where it goes
        options["queue"] = run.queue
    current_app.send_task(
        run.name,
        task_id=str(run.pk),
        producer=producer,
        task_type=task,
        headers={HEADER: True},
        add_to_parent=False,
        **{"ignore_result": getattr(task, "ignore_result", True), **run.options, **options},
    )


def execute(task: Any) -> Any:
    """Claim the row of the message that the task is run for, and run the task with its arguments.

    Raises:
        Ignore: the row is not due, somebody else has it, or the database is away or took too long;
            or the task itself had nothing to do, and is done.
        WorkersLostError: one worker after the other has died with it.
    """
    request = task.request
    who = {"worker": request.hostname or "", "queue": queue_of(request)}
    try:
        run = TaskRun.objects.claim(row_id(request.id), lease_of(task), **who)
    except (DatabaseError, InterfaceError, SoftTimeLimitExceeded) as error:
        # Nothing has run, so nothing has failed: the row waits for the sweeper, or for the end of a
        # lease that the database has written nevertheless.
        logger.warning("task_not_claimed", task=task.name, task_id=request.id, error=str(error))
        close_connections()  # one may be in the middle of an answer
        raise Ignore from error
    if run is None:
        logger.info("task_not_claimed", task=task.name, task_id=request.id)
        raise Ignore
    request.run = run
    request.args, request.kwargs = run.args, run.kwargs  # what a retry of the task changes
    structlog.contextvars.bind_contextvars(correlation_id=run.correlation_id)
    if run.is_poisonous:
        raise WorkersLostError(f"{run.losses} workers in a row have died with this task")
    try:
        return task.run(*run.args, **run.kwargs)
    except Ignore:  # Celery tells nobody of it
        note_done(task, run)
        raise


def lease_of(task: Any) -> timedelta:
    """Return how long a row belongs to whoever runs the task: a little longer than it may run."""
    hard, _soft = task.request.timelimit or (None, None)
    longest = settings.CELERY_BROKER_TRANSPORT_OPTIONS["visibility_timeout"]
    lease: timedelta = timedelta(seconds=hard or task.time_limit or longest)
    return lease + settings.TASK_LEASE_MARGIN


def queue_for(name: str, **options: Any) -> str:
    """Return the queue that a task goes to."""
    return str(current_app.amqp.router.route(options, name)["queue"].name)


def queue_of(request: Any) -> str:
    """Return the queue that a request came from."""
    return str((request.delivery_info or {}).get("routing_key") or "")


@signals.task_success.connect
def note_success(*, sender: Any, **_: Any) -> None:
    """Write down that the task is done, once all that follows it is published."""
    run = getattr(sender.request, "run", None)
    if run is not None:
        note_done(sender, run)


def note_done(task: Any, run: TaskRun) -> None:
    """Write down that the run of a task is done."""
    done = {"status": TaskRun.Status.DONE, "last_error": "", "finished_at": Now()}
    if not persistently(partial(run.release, **done), lease_of(task)):
        logger.warning("task_lease_lost", task=task.name, task_id=str(run.pk))


@signals.task_retry.connect
def note_retry(*, sender: Any, request: Any, reason: Any, **_: Any) -> None:
    """Put the row back for its next attempt, and ring for that."""
    if not has_row(request):
        return
    delay = delay_until(reason.when)
    outcome = {
        "status": TaskRun.Status.QUEUED,
        "next_attempt_at": Now() + delay,
        "last_error": describe(reason.exc),
        "first_failed_at": Coalesce("first_failed_at", Now()),
    }
    run = getattr(request, "run", None)
    if run is None:
        put_back_lost(sender, request, reason.exc, outcome, delay)
        return
    # What failed may be the connection itself.
    write = partial(run.release, **outcome, **changed(run, reason.sig))
    if persistently(write, lease_of(sender)):
        ring(run, delay)


@signals.task_revoked.connect
def note_revoked(*, request: Any, terminated: bool = False, **_: Any) -> None:
    """Cancel the row of a task that was revoked: workers forget what is, and the sweeper would ring.

    A row that is being worked on has several messages when it waited for long: only whoever ends its
    process, or finds it lost, takes it back.
    """
    from celery.worker import state  # noqa: PLC0415 - only a worker has loaded it

    # A process that was merely ended from outside is taken for a revoked task too.
    if has_row(request) and request.id in state.revoked:
        running = Q(status=TaskRun.Status.RUNNING)
        ended = running & Q(worker=request.hostname) if terminated else Q(pk=None)
        try:
            take_back(request.id, ended | running & Q(lease_until__lt=Now()))
        finally:
            close_connections()


def cancel(task_id: str) -> bool:
    """Take back a durable task that no worker has begun, however far away its start is.

    Args:
        task_id: the id that `apply_async` gave.

    Returns:
        whether that came in time. The task is kept as a failed one, which can be run again; who
        listens to Celery's signals hears nothing.
    """
    return take_back(task_id)


def take_back(task_id: str, also: Q | None = None) -> bool:
    """Fail a row that waits, or that another condition finds; return whether it was one of these."""
    waits = Q(status=TaskRun.Status.QUEUED)
    row = TaskRun.objects.filter(waits | also if also else waits, pk=row_id(task_id))
    taken_back = {
        "status": TaskRun.Status.FAILED,
        "error_type": TaskRevokedError.__name__,
        "last_error": "It was taken back.",
        "lease_token": None,
        "lease_until": None,
        "first_failed_at": Coalesce("first_failed_at", Now()),
        "finished_at": Now(),
    }
    return row.update(**taken_back) == 1


def changed(run: TaskRun, signature: Any) -> dict[str, Any]:
    """Return what a retry writes into its row: the count, and the arguments, given anew or not."""
    run.options["retries"] = signature.options["retries"]
    return {
        "options": run.options,
        "args": list(signature["args"]),
        "kwargs": dict(signature["kwargs"]),
    }


def put_back_lost(
    task: Any, request: Any, error: Any, outcome: dict[str, Any], delay: timedelta
) -> None:
    """Put back the row of a task whose pool process died; the worker's main process calls it."""
    if not isinstance(error, WorkerLostError):
        return
    try:
        if put_back(request, **outcome, losses=F("losses") + 1):
            ring(TaskRun.objects.get(pk=row_id(request.id)), delay)
    finally:
        close_connections()


def put_back(request: Any, **values: Any) -> bool:
    """Put back the row of a request, if this worker holds it; return whether it did."""
    held = TaskRun.objects.filter(
        pk=row_id(request.id), status=TaskRun.Status.RUNNING, worker=request.hostname
    )
    waiting = {"status": TaskRun.Status.QUEUED, "lease_token": None, "lease_until": None}
    return held.update(**{**waiting, **values}) == 1


def close_connections() -> None:
    """Close the database's connections, as a worker's main process must before it forks again."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()


def delay_until(when: Any) -> timedelta:
    """Return how long it is until a retry: Celery gives seconds, or a time."""
    if isinstance(when, datetime):
        return max(maybe_make_aware(when) - timezone.now(), timedelta(0))
    return timedelta(seconds=when or 0)


def describe(error: Any) -> str:
    """Say what went wrong in one line, no longer than a screen."""
    return printable(f"{type(error).__name__}: {error}")[:2000]
