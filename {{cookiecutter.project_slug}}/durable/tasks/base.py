"""The base class of every task."""

from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog
from celery.contrib.django.task import DjangoTask
from celery.exceptions import Reject
from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.utils import timezone
from kombu.exceptions import OperationalError as BrokerError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from requests import exceptions as http

from durable.broker.circuit import circuit
from durable.tasks import canvas, crashes, runs
from durable.tasks.arguments import refuse_large, refuse_model_instances, told_arguments
from durable.tasks.progress import save_progress

logger = structlog.get_logger(__name__)

# What may be over a moment later; all else is a mistake, which no second attempt mends.
TEMPORARY: tuple[type[Exception], ...] = (
    ConnectionError,
    TimeoutError,
    OperationalError,
    InterfaceError,
    BrokerError,
    RedisConnectionError,
    RedisTimeoutError,
    http.ConnectionError,
    http.Timeout,
)
# In the header of a plain task that is tried again: when it failed for the first time.
FIRST_FAILED_AT = "first_failed_at"


class Task(DjangoTask):
    """A task that refuses what the broker cannot keep, and rings without hurting its caller.

    With `durable = True` it is a row, written in the caller's transaction: see durable.tasks.runs.
    """

    abstract = True
    durable = False
    Request = "durable.tasks.request:Request"
    # Said to whoever wants to run it again from the admin, where that would do nothing.
    why_not_again = ""

    # Each pause is a random part of what backoff says, so that what failed together does not
    # come back together.
    autoretry_for = TEMPORARY
    retry_backoff = 1
    retry_backoff_max = settings.TASK_RETRY_LONGEST
    max_retries = settings.TASK_MAX_RETRIES
    default_retry_delay = settings.TASK_RETRY_FIRST  # type: ignore[assignment] # fractions too

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.durable:
            # The main process learns of the death and puts the row back; the message is not needed.
            cls.retry_on_worker_lost = True  # type: ignore[attr-defined] # new in Celery 5.7

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task: a durable one from its row, a plain one unless it keeps killing workers."""
        request = self.request
        if request.called_directly or request.is_eager or getattr(request, "entered", False):
            return super().__call__(*args, **kwargs)
        # From here on, a task that calls itself is a function, and no second run.
        request.entered = True  # type: ignore[attr-defined] # our own
        if runs.has_row(request):
            return runs.execute(self)
        refuse_large(self.name, args, kwargs)
        if crashes.is_redelivered(request):
            crashes.count(self)
        return super().__call__(*args, **kwargs)

    def apply_async(  # type: ignore[override] # Celery's own options pass through **options
        self,
        args: Any = None,
        kwargs: Any = None,
        countdown: float | None = None,
        eta: datetime | None = None,
        **options: Any,
    ) -> Any:
        """Publish the task; a durable one is a row at once, and its message follows the commit.

        Args:
            args, kwargs: the task's arguments, JSON only.
            countdown: seconds until it may start.
            eta: when it may start, instead of `countdown`. A durable task's start may be months
                away, since it is a column of its row.
            options: see Celery's `Task.apply_async`.

        Raises:
            TypeError: an argument is a model instance, or nothing that JSON knows.
            ValueError: the arguments are too large, the task might not have ended within the
                broker's visibility time-out, or what follows the task cannot hold.
            kombu.exceptions.OperationalError: the broker does not answer, or did not a moment ago;
                not for a durable task.
        """
        if self.is_retry_of_row(options):
            return self.AsyncResult(options["task_id"])  # the row is put back: durable.tasks.runs
        args, kwargs = args or (), kwargs or {}
        self.refuse(args, kwargs, options)
        if self.durable and not self.app.conf.task_always_eager:
            run = runs.record(self, args, kwargs, runs.delay_until(eta or countdown), options)
            return self.AsyncResult(str(run.pk))
        refuse_distant_start(self, runs.delay_until(eta or countdown))
        start: dict[str, Any] = {"countdown": countdown, "eta": eta}
        told = told_arguments(self.name, args, kwargs)
        with circuit.publishing():
            return super().apply_async(args, kwargs, **start, **told | options)

    def refuse(self, args: Any, kwargs: Any, options: dict[str, Any]) -> None:
        """Raise for arguments and links that cannot hold; see `apply_async`."""
        refuse_model_instances(self.name, [*args, *kwargs.values()])
        refuse_large(self.name, args, kwargs)
        canvas.refuse_what_cannot_hold(self.name, durable=self.durable, options=options)

    def is_retry_of_row(self, options: dict[str, Any]) -> bool:
        """Say whether Celery tries again what is run from a row."""
        return bool(options.get("retries")) and (self.durable or runs.has_row(self.request))

    def delay_on_commit(self, *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
        """Ring once the transaction has committed; see `ring`."""
        self.apply_async_on_commit(args, kwargs)

    def apply_async_on_commit(  # type: ignore[override]
        self, args: Any = None, kwargs: Any = None, **options: Any
    ) -> None:
        """Do as `delay_on_commit`, with the options of `apply_async`.

        The arguments are checked at once, so that a mistake fails where it was made.
        """
        if self.durable:
            self.apply_async(args, kwargs, **options)
            return
        self.refuse(args or (), kwargs or {}, options)
        refuse_distant_start(self, runs.delay_until(options.get("eta") or options.get("countdown")))
        transaction.on_commit(partial(self.publish_or_warn, args, kwargs, **options))

    def ring(self, *args: Any, **kwargs: Any) -> bool:
        """Publish, and only warn when the broker does not answer.

        For tasks that a row and a sweeper stand behind: there a lost message costs time, not
        work, so the caller goes on. Returns whether the message was published.
        """
        return self.publish_or_warn(args, kwargs)

    def publish_or_warn(self, args: Any, kwargs: Any, **options: Any) -> bool:
        """Do as `ring`, with the options of `apply_async`."""
        try:
            self.apply_async(args, kwargs, **options)
        except BrokerError as error:
            logger.warning("broker_unreachable", task=self.name, error=str(error))
            return False
        return True

    def retry(self, *args: Any, **options: Any) -> Any:
        """Come back later, and remember when the task failed first; see Celery's `Task.retry`.

        Celery drops the message of a task whose retry cannot be published. While the broker does
        not answer, it goes back to its queue instead. A durable task ends here even with
        `throw=False`, since its row is either put back or done.
        """
        if runs.has_row(self.request):
            options["throw"] = True
        first = {FIRST_FAILED_AT: timezone.now().isoformat()}
        try:
            return super().retry(*args, headers=first | (self.request.headers or {}), **options)
        except self.MaxRetriesExceededError as error:
            if options.get("exc"):
                raise
            # Celery's own text tells the arguments, and with them their secrets.
            text = f"{self.name}: attempt {self.request.retries + 1} was the last"
            raise self.MaxRetriesExceededError(text) from error.__context__
        except Reject as reject:
            reason, _ = reject.args
            raise Reject(reason, requeue=isinstance(reason, BrokerError)) from reason

    def replace(self, sig: Any) -> Any:
        """Run another task in place of the running one; see Celery's `Task.replace`.

        Raises:
            TypeError: the running task is durable. The other one would have its id, and so no row.
        """
        if self.durable or runs.has_row(self.request):
            raise TypeError(f"{self.name}: a durable task is not replaced: chain the tasks instead")
        return super().replace(sig)

    def report_progress(
        self, done: int, total: int, message: str = "", *, user_id: int | None = None
    ) -> None:
        """Tell how far the running task is.

        Args:
            done, total: in whatever unit the task counts.
            message: what a person waiting should read.
            user_id: who waits for it, and sees it move.
        """
        save_progress(str(self.request.id), done, total, message, user_id=user_id)


def refuse_distant_start(task: Task, delay: timedelta) -> None:
    """Raise ValueError for a start that the broker might hand out again before the task has ended.

    What waits in a worker is as unacknowledged as what runs there. The pause before a retry always
    fits: see VISIBILITY_TIMEOUT in config/queues.py.
    """
    visibility = settings.CELERY_BROKER_TRANSPORT_OPTIONS["visibility_timeout"]
    fitting = visibility - (task.time_limit or 0) - settings.TASK_LIMIT_MARGIN
    pause = settings.TASK_RETRY_LONGEST + settings.TASK_RETRY_MARGIN.total_seconds()
    longest = max(fitting, pause)
    if delay.total_seconds() > longest:
        raise ValueError(
            f"{task.name}: a start in {timedelta(seconds=round(delay.total_seconds()))} is too far "
            f"away: {timedelta(seconds=round(longest))} is the longest that fits into the broker's "
            "visibility time-out, after which Redis hands the task out again: make it durable, then "
            "the start is a column of its row"
        )
