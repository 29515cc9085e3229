"""The worker's consumer: it pauses while the broker answers and refuses commands."""

import time

from celery.worker import consumer

from durable import heartbeat

REFUSED_PAUSE = 1.0  # second between two attempts


class Consumer(consumer.Consumer):
    """Celery's consumer, which waits for a Redis that refuses commands as for one that is down.

    A replica after a failover and a Redis that is out of memory answer PING. So the worker connects
    at once, and Redis refuses it again when it declares its queues.
    """

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
