"""All receivers of Celery's signals: who writes which state, and what a process does when it starts.

| signal              | process    | writes                                | state of the row             |
| ------------------- | ---------- | ------------------------------------- | ---------------------------- |
| task_success        | pool       | `TaskRun.mark_done`                   | done                         |
| task_retry          | pool       | `TaskRun.mark_retrying`               | queued, due after the pause  |
| task_retry (crash)  | main       | `TaskRunQuerySet.requeue`             | queued, one crash more       |
| task_failure        | pool, main | `failures.record_failure`             | failed                       |
| task_internal_error | pool       | the same; nothing for an outage       | failed; claimed again later  |
| task_unknown        | main       | the same; a row is queued again first | failed; queued for an hour   |
| task_rejected       | main       | the same                              | failed                       |
| task_revoked        | main       | `enqueue.cancel`                      | failed (TaskRevokedError)    |

`celeryd_init` and `beat_init` check the configuration, start the heartbeat and let the process wait longer for its broker,
`heartbeat_sent` renews the heartbeat, `task_prerun` replaces a broken database connection,
`worker_process_shutdown` exports the last spans, and `setup_logging` keeps Django's logging. For `/metrics`,
`before_task_publish` adds the time to a message, and `heartbeat_sent` stores what was counted.
"""

import socket
import time
from functools import partial
from importlib import import_module
from typing import Any

import structlog
from celery import signals
from celery.app.task import Context
from celery.exceptions import WorkerLostError
from django.db import DatabaseError, close_old_connections
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Now
from redis.exceptions import RedisError

from durable import heartbeat, tracing
from durable.broker.circuit import disable_circuit_breaker
from durable.broker.connection import set_worker_broker_timeouts
from durable.broker.queues import check_writes
from durable.conf import conf
from durable.db import close_connections, retry_until_written
from durable.errors import TRANSIENT_ERRORS
from durable.tasks import crashes, log_context, metrics, pausing
from durable.tasks.base import FIRST_FAILED_AT
from durable.tasks.enqueue import HEADER, cancel, has_row, publish_or_log, queue_of, row_id
from durable.tasks.execute import claimed_run, lease_of, mark_done
from durable.tasks.failures import links_of, record_failure
from durable.tasks.models import TaskRun
from durable.tasks.startup import exit_if_misconfigured
from durable.tasks.validation import delay_until
from durable.tasks.worker_output import redirect_to_log
from durable.text import describe_error

logger = structlog.get_logger(__name__)


@signals.task_success.connect
def on_success(*, sender: Any, **_: Any) -> None:
    """Mark the row done, once everything that follows the task is published."""
    if run := claimed_run(sender.request.id):
        mark_done(sender, run)
    elif not has_row(sender.request):
        crashes.forget(sender.request)


@signals.task_retry.connect
def on_retry(*, sender: Any, request: Any, reason: Any, **_: Any) -> None:
    """Queue the row for its next attempt, and publish the message of that."""
    log_context.bind_duration(request)
    if not has_row(request):
        crashes.forget(sender.request)
        return
    delay = delay_until(reason.when)
    if run := claimed_run(request.id):
        run.options["retries"] = reason.sig.options["retries"]
        given = {"args": list(reason.sig["args"]), "kwargs": dict(reason.sig["kwargs"])}
        write = partial(run.mark_retrying, delay, reason.exc, options=run.options, **given)
        # The task may have failed with the connection itself.
        if retry_until_written(write, lease_of(sender)):
            publish_or_log(run, delay)
    elif isinstance(reason.exc, WorkerLostError):
        requeue_crashed(request, reason.exc, delay)


def requeue_crashed(request: Any, error: Exception, delay: Any) -> None:
    """Queue the row of a task whose pool process died; runs in the worker's main process."""
    row = TaskRun.objects.filter(pk=row_id(request.id))
    try:
        if row.held_by(request.hostname).requeue(
            next_attempt_at=Now() + delay,
            last_error=describe_error(error),
            first_failed_at=Coalesce("first_failed_at", Now()),
            crashes=F("crashes") + 1,
        ):
            publish_or_log(row.get(), delay)
    finally:
        close_connections()


@signals.task_failure.connect
def on_failure(
    *,
    sender: Any = None,
    task_id: str = "",
    exception: BaseException | None = None,
    args: Any = (),
    kwargs: Any = None,
    einfo: Any = None,
    **_: Any,
) -> None:
    """Store a task that failed, reached its time limit, or died with its worker."""
    record_failure_of(sender.request, sender.name, task_id, exception, args, kwargs, einfo)


@signals.task_internal_error.connect
def on_internal_error(
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
    """Store a task that failed after its work, for example because its links do not fit.

    Celery has removed the request from the task by then, and reports the failure once more.
    """
    context = Context(request)
    if context.is_eager:  # a mere call, which raises
        return
    if has_row(context) and isinstance(exception, TRANSIENT_ERRORS):
        return  # the row is claimed again when its lease ends
    record_failure_of(context, sender.name, task_id, exception, args, kwargs, einfo)


def record_failure_of(  # noqa: PLR0917 - the arguments of Celery's signals
    request: Any,
    name: str,
    task_id: str,
    error: BaseException | None,
    args: Any,
    kwargs: Any,
    einfo: Any,
) -> None:
    """Store the failed task of a request."""
    record_failure(
        task_id,
        name,
        error,
        args,
        kwargs,
        attempts=(request.retries or 0) + 1,
        queue=queue_of(request),
        worker=request.hostname or "",
        traceback=str(getattr(einfo, "traceback", "")),
        first_failed_at=getattr(request, FIRST_FAILED_AT, None),
        options=links_of(request),
    )
    crashes.forget(request)


@signals.task_unknown.connect
def on_unknown_task(
    *, sender: Any = None, message: Any = None, name: str = "", **about: Any
) -> None:
    """Store a message for a task that this worker does not know; a row waits for a newer worker."""
    if message.headers.get(HEADER) and postpone_unknown(about["id"], name):
        return
    error = LookupError(f"no task of this name is known to {sender.hostname}")
    args, kwargs = arguments_of(message)
    record_failure(about["id"], name, error, args, kwargs, worker=sender.hostname)


def postpone_unknown(task_id: str, name: str) -> bool:
    """Queue the row of an unknown task again, within RELEASE_WINDOW; return whether there was one."""
    recent = Q(first_failed_at=None) | Q(first_failed_at__gt=Now() - conf.RELEASE_WINDOW)
    waiting = TaskRun.objects.filter(recent, pk=row_id(task_id), status=TaskRun.Status.QUEUED)
    try:
        postponed = waiting.requeue(
            next_attempt_at=Now() + conf.RELEASE_RETRY_DELAY,
            first_failed_at=Coalesce("first_failed_at", Now()),
        )
    except DatabaseError as error:  # the row is still due, and a sweep publishes it
        logger.warning("task_not_postponed", task=name, task_id=task_id, error=str(error))
        return True
    finally:
        close_connections()
    if postponed:
        logger.warning("task_postponed", task=name, task_id=task_id, error="unknown to this worker")
    return postponed


@signals.task_rejected.connect
def on_rejected_message(
    *, message: Any = None, exc: BaseException | None = None, sender: Any = None, **_: Any
) -> None:
    """Store a message that Celery cannot turn into a task."""
    headers = message.headers if isinstance(message.headers, dict) else {}
    error = exc or ValueError("the message names no task")
    task_id = str(headers.get("id") or message.delivery_tag)
    name = str(headers.get("task") or "unknown")
    record_failure(task_id, name, error, (), {}, worker=sender.hostname)


def arguments_of(message: Any) -> tuple[Any, Any]:
    """Return the arguments in a message, if it is JSON as this service sends it."""
    try:
        args, kwargs, _links = message.decode()
    except Exception:  # noqa: BLE001 - other publishers send anything, and nothing of it can be stored
        return (), {}
    return args, kwargs


@signals.task_revoked.connect
def on_revoked(*, request: Any, terminated: bool = False, **_: Any) -> None:
    """Cancel the row of a revoked task: workers forget revocations, and a sweep would publish it again.

    A row that waited for long may have several messages. So a running row is canceled only by the
    worker that has ended its process, or if its lease has ended.
    """
    # Celery reports a process that was ended from outside as revoked, too.
    if not (has_row(request) and request.id in worker_state().revoked):
        return
    running = Q(status=TaskRun.Status.RUNNING)
    ended = running & Q(worker=request.hostname) if terminated else Q(pk=None)
    try:
        cancel(request.id, also=ended | running & Q(lease_until__lt=Now()))
    finally:
        close_connections()


def worker_state() -> Any:
    """Return what this worker does, as Celery knows it."""
    from celery.worker import state  # noqa: PLC0415 - only a worker has loaded it

    return state


@signals.celeryd_init.connect
def on_worker_start(*, sender: str, **signal: Any) -> None:
    """Start the heartbeat of a worker, which waits for its broker longer than a request may."""
    options = signal["options"]
    exit_if_misconfigured(options.get("pool") or options.get("pool_cls"))
    disable_circuit_breaker()
    set_worker_broker_timeouts(signal["conf"])
    heartbeat.start("worker", sender)
    for module in ("last_step", "panel"):  # only a worker has loaded Celery's part of them
        import_module(f"durable.tasks.{module}")


@signals.worker_ready.connect
def on_worker_ready(*, sender: Any, **_: Any) -> None:
    """Stop consuming from paused queues, before the worker receives its first message."""
    pausing.sync(sender)


@signals.beat_init.connect
def on_beat_start(**_: Any) -> None:
    """Start the heartbeat of Beat; `DeclaredScheduler.tick` renews it."""
    exit_if_misconfigured()
    disable_circuit_breaker()
    heartbeat.start("beat", socket.gethostname())


@signals.heartbeat_sent.connect
def on_heartbeat(*, sender: Any, **_: Any) -> None:
    """Renew the heartbeat of a worker: its main process works, and its broker accepts writes."""
    try:
        check_writes(sender.eventer.producer.channel)
    except RedisError:
        heartbeat.beat(heartbeat.WAITING)
    else:
        heartbeat.beat()
    metrics.flush(sender.eventer.hostname, len(worker_state().active_requests))


@signals.before_task_publish.connect
def on_publish(*, headers: dict[str, Any], **_: Any) -> None:
    """Write the time into a message, from which `/metrics` has the wait."""
    if metrics.enabled():
        headers[metrics.PUBLISHED_AT] = time.time()


@signals.task_prerun.connect
def on_task_start(*, sender: Any, **_: Any) -> None:
    """Close a connection that is broken or too old (CONN_MAX_AGE), as Django does before a request.

    Celery would open a new one for each task; see CELERY_DB_REUSE_MAX in the settings.
    """
    if not sender.request.is_eager:
        close_old_connections()


@signals.worker_process_shutdown.connect
def on_process_end(**_: Any) -> None:
    """Export the last spans of a pool process, which ends without Python's own clean-up."""
    tracing.flush()


@signals.setup_logging.connect
def on_logging_setup(**_: Any) -> None:
    """Keep Django's logging: Celery leaves it alone if this signal has a receiver."""
    redirect_to_log()
