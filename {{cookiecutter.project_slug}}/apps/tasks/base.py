"""The base class of every task."""

from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog
from celery.contrib.django.task import DjangoTask
from celery.exceptions import Reject
from django.conf import settings
from django.db import models, transaction
from django.utils import timezone
from kombu.exceptions import OperationalError

from apps.tasks.circuit import circuit
from apps.tasks.progress import save_progress

logger = structlog.get_logger(__name__)


class Task(DjangoTask):
    """A task that refuses what the broker cannot keep, and rings without hurting its caller."""

    abstract = True
    # With retry_on_worker_lost: a task whose process dies is run at most four times.
    max_retries = 3
    default_retry_delay = 5  # seconds

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
            ValueError: the start lies beyond the broker's visibility time-out.
            kombu.exceptions.OperationalError: the broker does not answer, or did not a moment ago.
        """
        refuse_model_instances(self.name, [*(args or ()), *(kwargs or {}).values()])
        refuse_distant_start(self.name, countdown, eta)
        start: dict[str, Any] = {"countdown": countdown, "eta": eta}
        with circuit.publishing():
            return super().apply_async(args, kwargs, **start, **options)

    def delay_on_commit(self, *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
        """Ring once the transaction has committed; see `ring`.

        The arguments are checked at once, so that a mistake fails where it was made.
        """
        refuse_model_instances(self.name, [*args, *kwargs.values()])
        transaction.on_commit(partial(self.ring, *args, **kwargs))

    def ring(self, *args: Any, **kwargs: Any) -> bool:
        """Publish, and only warn when the broker does not answer.

        For tasks that a row and a sweeper stand behind: there a lost message costs time, not
        work, so the caller goes on. Returns whether the message was published.
        """
        try:
            self.apply_async(args, kwargs)
        except OperationalError as error:
            logger.warning("broker_unreachable", task=self.name, args=args, error=str(error))
            return False
        return True

    def retry(self, *args: Any, **kwargs: Any) -> Any:
        """Come back later; see Celery's `Task.retry`.

        Celery drops the message of a task whose retry cannot be published. While the broker does
        not answer, it goes back to its queue instead.
        """
        try:
            return super().retry(*args, **kwargs)
        except Reject as reject:
            reason, _ = reject.args
            raise Reject(reason, requeue=isinstance(reason, OperationalError)) from reason

    def report_progress(self, done: int, total: int, message: str = "") -> None:
        """Tell how far the running task is.

        Args:
            done, total: in whatever unit the task counts.
            message: what a person waiting should read.
        """
        save_progress(str(self.request.id), done, total, message)


def refuse_model_instances(task: str, arguments: list[Any]) -> None:
    """Raise TypeError for a model instance: by the time the task runs, it would be stale."""
    for argument in arguments:
        if isinstance(argument, models.Model):
            kind = type(argument).__name__
            raise TypeError(
                f"{task}: the argument {argument!r} is a {kind} instance: "
                f"pass its id and load the {kind} inside the task"
            )


def refuse_distant_start(task: str, countdown: float | None, eta: datetime | None) -> None:
    """Raise ValueError for a start that the broker would hand out several times before it comes."""
    seconds = countdown or 0.0
    if eta is not None:
        seconds = (eta - timezone.now()).total_seconds()
    longest = settings.CELERY_BROKER_TRANSPORT_OPTIONS["visibility_timeout"]
    if seconds > longest:
        raise ValueError(
            f"{task}: a start in {timedelta(seconds=round(seconds))} lies beyond the broker's "
            f"visibility time-out of {timedelta(seconds=longest)}, after which Redis hands the "
            "task out again: keep the time in a row and let a periodic task find it"
        )
