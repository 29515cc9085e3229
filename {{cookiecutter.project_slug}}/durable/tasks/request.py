"""What a worker's main process does about the tasks in its pool."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import structlog
from billiard.einfo import (  # type: ignore[attr-defined] # the stubs lack it
    ExceptionWithTraceback,
)
from billiard.exceptions import TimeLimitExceeded
from celery.exceptions import InvalidTaskError
from celery.worker import request, state
from django.db import DatabaseError
from django.db.models.functions import Now

from durable.db import close_connections
from durable.tasks import crashes, metrics
from durable.tasks.enqueue import has_row, row_id
from durable.tasks.log_context import main_process_context
from durable.tasks.models import TaskRun

logger = structlog.get_logger(__name__)


def measured(on_success: Any) -> Any:
    """Return Celery's `on_success`, which gets every result of the pool, so that it counts the run."""

    @wraps(on_success)
    def end(self: Any, result: Any, **options: Any) -> Any:
        metrics.record_result(self, result)
        return on_success(self, result, **options)

    return end


class Request(request.Request):
    """Celery's request, which survives any message and releases its row when the worker stops."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """Read a message.

        Raises:
            InvalidTaskError: its form is not Celery's. Any other error would end the worker (Celery
                5.7) and the next one, since the message is delivered again.
        """
        try:
            super().__init__(*args, **options)
        except Exception as error:  # whatever it is, this message cannot be read
            raise InvalidTaskError(f"{type(error).__name__}: {error}") from error

    def __init_subclass__(cls, **options: Any) -> None:
        """Measure a task: Celery makes a subclass for each, whose `on_success` calls no other class's."""
        super().__init_subclass__(**options)
        if metrics.enabled() and "on_success" in vars(cls):
            cls.on_success = measured(cls.on_success)  # type: ignore[method-assign]

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """Report a time limit; receivers of the signal find the request in the task, as in the pool."""
        if not soft:
            metrics.record_end(self, "failed")
        with self.in_task():
            super().on_timeout(soft, timeout)

    def on_failure(self, exc_info: Any, *args: Any, **options: Any) -> Any:
        """Report a failure or a rejection; see `on_timeout`.

        The pool reports a hard time limit here first, and Celery all of it again in `on_timeout`.
        """
        error = exc_info.exception
        error = error.exc if isinstance(error, ExceptionWithTraceback) else error
        if isinstance(error, TimeLimitExceeded) and not state.should_terminate:
            return None
        metrics.record_end(self, "crashed")  # any other end has been counted before
        with self.in_task():
            return super().on_failure(exc_info, *args, **options)

    def _announce_revoked(self, *args: Any) -> None:
        with self.in_task():
            super()._announce_revoked(*args)  # type: ignore[misc] # the stubs lack it

    @contextmanager
    def in_task(self) -> Iterator[None]:
        """Give the task this request, and the log its fields, as while it runs."""
        try:
            context = self._context  # type: ignore[attr-defined]
        except (LookupError, TypeError, ValueError):
            yield  # a message of another publisher, for which Celery needs no request
            return
        fields = main_process_context(self.name, context, self.time_start)
        self.task.request_stack.push(context)
        try:
            with structlog.contextvars.bound_contextvars(**fields):
                yield
        finally:
            self.task.request_stack.pop()

    def cancel(self, *args: Any, **options: Any) -> None:
        """End the pool process that runs the task; its message goes back to the queue."""
        super().cancel(*args, **options)
        try:
            self.release()
        except DatabaseError as error:
            logger.warning("task_not_released", task_id=self.id, error=str(error))

    def release(self) -> None:
        """Let the next worker start at once, and do not count a crash."""
        if has_row(self._context):  # type: ignore[attr-defined]
            held = TaskRun.objects.filter(pk=row_id(self.id)).held_by(self.hostname)
            held.requeue(next_attempt_at=Now())
        elif self.time_start:
            crashes.record_release(self.name, self)
        close_connections()
