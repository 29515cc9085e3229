"""What a worker's main process does about the tasks in its pool."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from celery.exceptions import InvalidTaskError
from celery.worker import request
from django.db import DatabaseError
from django.db.models.functions import Now
from kombu.exceptions import DecodeError

from durable.tasks import crashes, runs

logger = structlog.get_logger(__name__)


class Request(request.Request):
    """Celery's request, which survives any message, and gives a row back when the worker stops."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """Take a message.

        Raises:
            InvalidTaskError: it has another form than Celery's; any other error ends the worker
                (Celery 5.7), and the next one too, since the message comes again.
        """
        try:
            super().__init__(*args, **options)
        except (DecodeError, LookupError, TypeError, ValueError) as error:
            raise InvalidTaskError(f"{type(error).__name__}: {error}") from error

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """Tell that the task took too long; who listens finds the request in the task, as elsewhere."""
        with self.in_the_task():
            super().on_timeout(soft, timeout)

    def on_failure(self, *args: Any, **options: Any) -> Any:
        """Tell that the task failed, also by rejecting its message; see `on_timeout`."""
        with self.in_the_task():
            return super().on_failure(*args, **options)

    @contextmanager
    def in_the_task(self) -> Iterator[None]:
        """Let the task have this request, as while it runs."""
        try:
            context = self._context  # type: ignore[attr-defined]
        except (LookupError, TypeError, ValueError):
            yield  # it is of a stranger's message, which Celery settles without
            return
        self.task.request_stack.push(context)
        try:
            yield
        finally:
            self.task.request_stack.pop()

    def cancel(self, *args: Any, **options: Any) -> None:
        """End the pool process that runs the task; its message goes back to the queue."""
        super().cancel(*args, **options)
        try:
            self.give_back()
        except DatabaseError as error:
            logger.warning("task_not_given_back", task_id=self.id, error=str(error))

    def give_back(self) -> None:
        """Let the next worker begin at once, and not count this one among those that died."""
        if runs.has_row(self._context):  # type: ignore[attr-defined]
            runs.put_back(self, next_attempt_at=Now())
        elif self.time_start:
            crashes.note_given_back(self.name, self)
        runs.close_connections()
