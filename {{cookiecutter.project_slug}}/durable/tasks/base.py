"""The base classes of tasks: `Task` lives in the broker, `DurableTask` is a row."""

from datetime import datetime
from functools import partial
from typing import Any, ClassVar

import structlog
from celery import group
from celery.contrib.django.task import DjangoTask
from celery.exceptions import Reject
from celery.utils.functional import chunks as batches
from django.db import transaction
from django.utils import timezone
from kombu.exceptions import OperationalError as BrokerError

from durable import tracing
from durable.broker.circuit import circuit
from durable.conf import conf
from durable.errors import BROKER_ERRORS, TRANSIENT_ERRORS
from durable.tasks import canvas, crashes
from durable.tasks.enqueue import enqueue, has_row, queue_for
from durable.tasks.execute import execute
from durable.tasks.progress import save_progress
from durable.tasks.redaction import message_reprs
from durable.tasks.validation import (
    delay_until,
    validate_arguments,
    validate_declaration,
    validate_options,
    validate_result,
    validate_start,
    with_zone,
)

logger = structlog.get_logger(__name__)

FIRST_FAILED_AT = (
    "first_failed_at"  # in the header of a plain task's retry: time of the first failure
)


class Task(DjangoTask):
    """A plain task: its message is all there is of it.

    It refuses arguments that the broker cannot keep, retries transient errors, and costs its caller
    less than a second while the broker does not answer.
    """

    abstract = True
    durable: ClassVar[bool] = False
    Request = "durable.tasks.request:Request"
    # Why a failed task of this kind cannot be replayed, for the operator; empty if it can.
    no_replay = ""
    # Whether the leading Beat runs the task itself when its periodic task is due, in a thread of its
    # own. For sweeps, which repair queues: they wait in none, and no worker's clock can expire them.
    runs_in_beat = False

    # Each pause is a random part of what backoff gives, so that tasks that failed together do not
    # return together.
    autoretry_for = TRANSIENT_ERRORS
    retry_backoff = 1
    retry_backoff_max = conf.TASK_RETRY_MAX_DELAY
    max_retries = conf.TASK_MAX_RETRIES
    default_retry_delay = conf.TASK_RETRY_INITIAL_DELAY  # type: ignore[assignment] # fractions too

    def __init_subclass__(cls, **options: Any) -> None:
        """Refuse a declaration that would be ignored; see durable/tasks/validation.py."""
        super().__init_subclass__(**options)
        validate_declaration(cls)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task: from its row if its message names one, else with the message's arguments."""
        request = self.request
        # A worker has entered the task already (Celery's own mark) if the task calls itself.
        if request.called_directly or request.is_eager or getattr(request, "_protected", False):
            return super().__call__(*args, **kwargs)
        if has_row(request):
            return validate_result(self.name, execute(self, super().__call__))
        validate_arguments(self.name, args, kwargs)
        if crashes.is_redelivered(request):
            crashes.count_crash(self)
        parent = (request.headers or {}).get(tracing.TRACEPARENT)
        with tracing.span(self.name, parent, tracing.attributes_of(request), stays=True):
            return validate_result(self.name, super().__call__(*args, **kwargs))

    def apply_async(  # type: ignore[override] # Celery's own options pass through **options
        self,
        args: Any = None,
        kwargs: Any = None,
        countdown: float | None = None,
        eta: datetime | None = None,
        **options: Any,
    ) -> Any:
        """Publish the task.

        Args:
            args, kwargs: the task's arguments, JSON only.
            countdown: seconds until it may start.
            eta: when it may start, instead of `countdown`.
            options: see Celery's `Task.apply_async`.

        Raises:
            TypeError: an argument is a model instance.
            ValueError: the arguments are too large, the start is too far away for the broker's
                visibility time-out, or a durable task follows.
            kombu.exceptions.OperationalError: the broker does not answer, or did not a moment ago.
        """
        if is_retry_of_row(self, options):
            return self.AsyncResult(options["task_id"])  # `on_retry` queues the row again
        args, kwargs = args or (), kwargs or {}
        self.validate(args, kwargs, eta or countdown, options)
        if options.get("chord"):
            options["ignore_result"] = False  # the chord's body is called with the results
        start: dict[str, Any] = {"countdown": countdown, "eta": eta and with_zone(eta)}
        reprs = message_reprs(self.name, args, kwargs)
        if context := tracing.traceparent():
            options["headers"] = {tracing.TRACEPARENT: context, **(options.get("headers") or {})}
        with circuit.guard():
            return super().apply_async(args, kwargs, **start, **reprs | options)

    def validate(
        self, args: Any, kwargs: Any, start: datetime | float | None, options: dict[str, Any]
    ) -> None:
        """Raise for a call that cannot succeed; see `apply_async`."""
        validate_options(self.name, options, durable=self.durable)
        validate_arguments(self.name, args, kwargs)
        canvas.validate_links(self.name, durable=self.durable, options=options)
        validate_start(self, delay_until(start))

    def map(self, it: Any) -> Any:
        """Return Celery's `map` of this task, which goes to its queue and keeps results as it does."""
        return self.like_this(super().map(it))

    def starmap(self, it: Any) -> Any:
        """Do as `map`, with Celery's `starmap`."""
        return self.like_this(super().starmap(it))

    def chunks(self, it: Any, n: int) -> Any:
        """Return a group of `starmap`s of `n` calls each, as Celery's `chunks` becomes one."""
        return group([self.starmap(part) for part in batches(iter(it), n)])

    def like_this(self, signature: Any) -> Any:
        """Give a signature of Celery's built-in tasks the options of this task."""
        return signature.set(queue=queue_for(self.name), ignore_result=bool(self.ignore_result))

    def delay_on_commit(self, *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
        """Publish after the current transaction commits; see `apply_async_on_commit`."""
        self.apply_async_on_commit(args, kwargs)

    def apply_async_on_commit(  # type: ignore[override]
        self, args: Any = None, kwargs: Any = None, **options: Any
    ) -> None:
        """Publish after the current transaction commits, and log it if the broker does not answer.

        Raises:
            as `apply_async`, at once, except for an error of the broker.
        """
        start = options.get("eta") or options.get("countdown")
        self.validate(args or (), kwargs or {}, start, options)
        transaction.on_commit(partial(self.publish_or_log, args, kwargs, **options))

    def publish_or_log(self, args: Any = None, kwargs: Any = None, **options: Any) -> bool:
        """Publish the task, and log it if the broker does not answer.

        For a task that only wakes a worker for rows: a lost message costs time, and no work.

        Returns:
            whether the message was published.
        """
        try:
            self.apply_async(args, kwargs, **options)
        except BROKER_ERRORS as error:
            logger.warning("broker_unreachable", task=self.name, error=str(error))
            return False
        return True

    def retry(self, *args: Any, **options: Any) -> Any:
        """Run again later, and remember when the task failed first; see Celery's `Task.retry`.

        Celery drops a task whose retry cannot be published. Here its message goes back to the queue
        while the broker does not answer. A task with a row always ends here, also with
        `throw=False`: its row is either queued again or done.
        """
        if has_row(self.request):
            options["throw"] = True
        first = {FIRST_FAILED_AT: timezone.now().isoformat()}
        try:
            return super().retry(*args, headers=first | (self.request.headers or {}), **options)
        except self.MaxRetriesExceededError as error:
            if options.get("exc"):
                raise
            # Celery's own text holds the arguments, and with them their secrets.
            text = f"{self.name}: attempt {self.request.retries + 1} was the last"
            raise self.MaxRetriesExceededError(text) from error.__context__
        except Reject as reject:
            reason, _ = reject.args
            raise Reject(reason, requeue=isinstance(reason, BrokerError)) from reason

    def replace(self, sig: Any) -> Any:
        """Run another task in place of the running one; see Celery's `Task.replace`.

        Raises:
            TypeError: the running task has a row. The other task would get its id, and no row.
        """
        if has_row(self.request):
            raise TypeError(f"{self.name}: a durable task cannot be replaced: use a chain")
        return super().replace(sig)

    def report_progress(
        self, done: int, total: int, message: str = "", *, user_id: int | None = None
    ) -> None:
        """Report the progress of the running task.

        Args:
            done, total: in any unit that the task counts in.
            message: for the person who waits.
            user_id: the user who waits, and sees it move.
        """
        save_progress(str(self.request.id), done, total, message, user_id=user_id)


class DurableTask(Task):
    """A task that is a row, written in the caller's transaction: no dead worker, no empty Redis loses it.

    `@shared_task(base=DurableTask, name="orders.charge")`
    """

    abstract = True
    durable = True
    # The main process learns of the crash and queues the row; the message is not needed.
    retry_on_worker_lost = True

    def apply_async(  # type: ignore[override] # as in Task
        self,
        args: Any = None,
        kwargs: Any = None,
        countdown: float | None = None,
        eta: datetime | None = None,
        **options: Any,
    ) -> Any:
        """Write the task's row now, in the current transaction; its message follows the commit.

        Args:
            args, kwargs: the task's arguments, JSON only.
            countdown: seconds until it may start.
            eta: when it may start, instead of `countdown`; may be months away.
            options: see Celery's `Task.apply_async`.

        Raises:
            TypeError: an argument is no JSON.
            ValueError: an argument is one that the database cannot hold or too large, or a plain task
                follows.
        """
        if self.app.conf.task_always_eager or is_retry_of_row(self, options):
            return super().apply_async(args, kwargs, countdown, eta, **options)
        args, kwargs = args or (), kwargs or {}
        validate_options(self.name, options, durable=True)
        canvas.validate_links(self.name, durable=True, options=options)
        run = enqueue(self, args, kwargs, delay_until(eta or countdown), options)
        return self.AsyncResult(str(run.pk))

    def apply_async_on_commit(  # type: ignore[override] # as in Task
        self, args: Any = None, kwargs: Any = None, **options: Any
    ) -> None:
        """Write the row now: it commits, or rolls back, with the current transaction."""
        self.apply_async(args, kwargs, **options)

    def like_this(self, signature: Any) -> Any:
        """Refuse `map`, `starmap` and `chunks`, where Celery calls the task as a function: without a row."""
        raise TypeError(f"{self.name}: a durable task has no map, starmap or chunks: use a group")

    def replace(self, sig: Any) -> Any:
        """Refuse: see `Task.replace`."""
        raise TypeError(f"{self.name}: a durable task cannot be replaced: use a chain")


def is_retry_of_row(task: Task, options: dict[str, Any]) -> bool:
    """Whether Celery retries a task that runs from a row."""
    return bool(options.get("retries")) and has_row(task.request)
