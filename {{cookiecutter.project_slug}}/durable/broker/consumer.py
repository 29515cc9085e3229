"""What a worker's main process does while its broker answers and takes nothing."""

import time

from celery.worker import consumer

from durable import heartbeat

REFUSED = 1.0  # second until the next attempt


class Consumer(consumer.Consumer):
    """Celery's consumer, which waits for a Redis that refuses as for one that is away.

    A replica after a failover and a Redis that is full answer a PING, so the worker is connected
    again at once, and refused again when it names its queues.
    """

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """Pause before the worker connects again; see `pause`."""
        super().on_connection_error_before_connected(exc)
        self.pause(exc)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Pause before the worker connects again; see `pause`."""
        super().on_connection_error_after_connected(exc)
        self.pause(exc)

    def pause(self, exc: Exception) -> None:
        """Show that a worker is there whose broker refuses it, and do not try more than once a second."""
        if isinstance(exc, self.channel_errors):  # type: ignore[attr-defined] # the stubs lack it
            heartbeat.beat(heartbeat.WAITING)
            time.sleep(REFUSED)
