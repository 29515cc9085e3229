"""The worker's consumer: it rejects odd messages, and pauses while the broker refuses commands."""

import time
from collections.abc import Callable
from typing import Any

from celery.worker import consumer
from structlog.contextvars import bound_contextvars

from durable import heartbeat
from durable.broker.messages import log_fields, validate_task_message
from durable.broker.short_lines import shorten_lines

REFUSED_PAUSE = 1.0  # second between two attempts


class Consumer(consumer.Consumer):
    """Celery's consumer, which waits for a Redis that refuses commands as for one that is down.

    A replica after a failover and a Redis that is out of memory answer PING. So the worker connects
    at once, and Redis refuses it again when it declares its queues.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        shorten_lines()

    def create_task_handler(self, *args: Any, **options: Any) -> Callable[[Any], None]:
        """Return what handles a message; one that cannot be read is rejected, and stored as a failed task."""
        handle = super().create_task_handler(*args, **options)

        def on_task_received(message: Any) -> None:
            try:
                validate_task_message(message)
            except Exception as error:  # noqa: BLE001 - whatever it is, this message cannot be read
                self.on_invalid_task(None, message, error)
            else:
                handle(message)

        return on_task_received

    def on_unknown_message(self, body: Any, message: Any) -> None:
        with bound_contextvars(**log_fields(message)):
            super().on_unknown_message(body, message)

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        with bound_contextvars(**log_fields(message)):
            super().on_decode_error(message, exc)

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        with bound_contextvars(**log_fields(message)):
            super().on_unknown_task(body, message, exc)

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        with bound_contextvars(**log_fields(message)):
            super().on_invalid_task(body, message, exc)

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        super().on_connection_error_before_connected(exc)
        self.pause_if_refused(exc)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        super().on_connection_error_after_connected(exc)
        self.pause_if_refused(exc)

    def pause_if_refused(self, exc: Exception) -> None:
        """Give a heartbeat, and pause after an error that is no lost connection."""
        if isinstance(exc, self.channel_errors):  # type: ignore[attr-defined] # the stubs lack it
            heartbeat.beat(heartbeat.WAITING)
            time.sleep(REFUSED_PAUSE)
