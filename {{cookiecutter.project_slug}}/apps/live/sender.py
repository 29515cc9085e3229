"""Sends messages to open pages from any process: requests, workers, commands."""

import asyncio
import os
from collections.abc import Coroutine
from datetime import datetime, timedelta
from threading import Lock, Thread

import structlog
from channels.layers import get_channel_layer
from kombu.exceptions import OperationalError
from redis.exceptions import TimeoutError as RedisTimeoutError

from durable.api import BROKER_ERRORS, Circuit

logger = structlog.get_logger(__name__)

TIMEOUT = 0.5  # seconds that a caller waits; Redis usually responds in less than a millisecond
CIRCUIT_RESET = timedelta(seconds=5)  # after a failure, callers do not wait for this time


class Sender:
    """Sends from an event loop in its own thread, one for each process.

    `async_to_sync` would need a thread, a loop and a connection for each message: it leaves nothing
    behind, but takes many times as long, and its end waits for a DNS server that hangs.
    """

    def __init__(self) -> None:
        self.circuit = Circuit(CIRCUIT_RESET)
        self.logged: datetime | None = None
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Forget thread and locks: in the child of a fork, the thread does not exist."""
        self.lock = Lock()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.circuit.renew_lock()

    def send(self, group: str, content: dict[str, object]) -> None:
        """See `send`."""
        message = {"type": "live.message", "content": content}
        try:
            with self.circuit.publishing():
                self.wait_for(get_channel_layer().group_send(group, message))
        except OperationalError:
            pass  # the circuit is open
        except BROKER_ERRORS as error:
            self.log_once(error)

    def wait_for(self, sending: Coroutine[None, None, None]) -> None:
        """Return once the message is sent.

        Raises:
            redis.exceptions.TimeoutError: it was not sent within TIMEOUT.
        """
        sent = asyncio.run_coroutine_threadsafe(sending, self.running_loop())
        try:
            sent.result(TIMEOUT)
        except TimeoutError:
            sent.cancel()
            raise RedisTimeoutError(f"no response within {TIMEOUT:g} s") from None

    def running_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop, which runs from the first message to the end of the process."""
        with self.lock:
            if self.loop is None:
                self.loop = asyncio.new_event_loop()
                Thread(target=self.loop.run_forever, name="live", daemon=True).start()
            return self.loop

    def log_once(self, error: Exception) -> None:
        """Log one line per outage."""
        if self.circuit.since != self.logged:
            self.logged = self.circuit.since
            logger.warning("channel_layer_unreachable", error=str(error))


sender = Sender()
if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=sender.reset_after_fork)


def send(group: str, content: dict[str, object]) -> None:
    """Send `content` to the open pages of a group. Errors are logged, never raised.

    If the channel layer does not respond, the caller waits for TIMEOUT. Calls within CIRCUIT_RESET
    after that do not wait.
    """
    sender.send(group, content)
