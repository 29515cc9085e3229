"""Sends messages to open pages from any process: requests, workers, commands."""

import asyncio
import os
from collections.abc import Coroutine
from threading import Lock, Thread

import structlog
from channels.layers import get_channel_layer
from redis.exceptions import TimeoutError as RedisTimeoutError

from durable.api import BROKER_ERRORS, Circuit

logger = structlog.get_logger(__name__)

TIMEOUT = 0.5  # seconds that a caller waits; Redis usually responds in less than a millisecond


class Sender:
    """Sends from an event loop in its own thread, one for each process.

    `async_to_sync` would need a thread, a loop and a connection for each message: it leaves nothing
    behind, but takes many times as long, and its end waits for a DNS server that hangs.
    """

    def __init__(self) -> None:
        self.circuit = Circuit()  # after a failure, callers do not wait for BROKER_CIRCUIT_RESET
        self.logged = self.circuit.since
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Forget thread and lock: in the child of a fork, the thread does not exist."""
        self.lock = Lock()
        self.loop: asyncio.AbstractEventLoop | None = None

    def send(self, group: str, content: dict[str, object]) -> None:
        """See `send`."""
        message = {"type": "live.message", "content": content}
        try:
            with self.circuit.guard():
                self.wait_for(get_channel_layer().group_send(group, message))
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
        """Log one line per outage, although the circuit breaker raises one error per call."""
        if self.circuit.since != self.logged:
            self.logged = self.circuit.since
            logger.warning("channel_layer_unreachable", error=str(error))


sender = Sender()
if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=sender.reset_after_fork)


def send(group: str, content: dict[str, object]) -> None:
    """Send `content` to the open pages of a group. Errors are logged, never raised.

    If the channel layer does not respond, the caller waits for TIMEOUT. Calls within
    BROKER_CIRCUIT_RESET after that do not wait.
    """
    sender.send(group, content)
