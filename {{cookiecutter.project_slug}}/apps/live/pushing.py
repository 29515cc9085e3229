"""Sends to open pages from wherever something happens: a request, a worker, a command."""

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

PATIENCE = 0.5  # seconds that a caller waits; Redis answers in a thousandth of it
PAUSE = timedelta(seconds=5)  # after such a wait was in vain, nobody waits for this long


class Sender:
    """The one way out of this process: an event loop in a thread of its own.

    With async_to_sync, each message would have a thread, a loop and a connection of its own. They
    leave nothing behind, but cost many times the message, and their end waits for a name server that hangs.
    """

    def __init__(self) -> None:
        self.circuit = Circuit(PAUSE)
        self.logged: datetime | None = None
        self.start_anew()

    def start_anew(self) -> None:
        """Forget the thread and who holds a lock: in the child of a fork, no thread exists."""
        self.lock = Lock()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.circuit.renew_lock()

    def push(self, group: str, content: dict[str, object]) -> None:
        """See `push`."""
        message = {"type": "live.message", "content": content}
        try:
            with self.circuit.publishing():
                self.wait_for(get_channel_layer().group_send(group, message))
        except OperationalError:
            pass  # it did not answer a moment ago
        except BROKER_ERRORS as error:
            self.log(error)

    def wait_for(self, sending: Coroutine[None, None, None]) -> None:
        """Return when it is sent.

        Raises:
            redis.exceptions.TimeoutError: it was not within PATIENCE.
        """
        sent = asyncio.run_coroutine_threadsafe(sending, self.running_loop())
        try:
            sent.result(PATIENCE)
        except TimeoutError:
            sent.cancel()
            raise RedisTimeoutError(f"no answer within {PATIENCE:g} s") from None

    def running_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop, which runs from the first message on until the process ends."""
        with self.lock:
            if self.loop is None:
                self.loop = asyncio.new_event_loop()
                Thread(target=self.loop.run_forever, name="live", daemon=True).start()
            return self.loop

    def log(self, error: Exception) -> None:
        """Write one line per outage, that is, until a message got through."""
        if self.circuit.since != self.logged:
            self.logged = self.circuit.since
            logger.warning("live_layer_does_not_answer", error=str(error))


sender = Sender()
if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=sender.start_anew)


def push(group: str, content: dict[str, object]) -> None:
    """Send `content` to the open pages of a group. Whatever happens, the caller goes on.

    If the channel layer does not answer, a caller waits for PATIENCE, and those after it, for PAUSE,
    not at all.
    """
    sender.push(group, content)
