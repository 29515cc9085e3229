"""Keeps a broker that does not answer from costing every request its time-out."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

from celery.signals import beat_init, celeryd_init
from django.conf import settings
from django.utils import timezone
from kombu.exceptions import BatchPublishError, OperationalError  # type: ignore[attr-defined]
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

NO_ANSWER = (OperationalError, BatchPublishError, RedisConnectionError, RedisTimeoutError)


class Circuit:
    """Fails at once for a while after the broker did not answer, then lets one caller try.

    Args:
        pause: how long, by default BROKER_PAUSE; nothing fails at once if it is zero.
    """

    def __init__(self, pause: timedelta | None = None) -> None:
        self.pause = pause
        self.since: datetime | None = None
        self.until = 0.0  # by the monotonic clock
        self.entered = ContextVar("entered", default=False)
        self.renew_lock()

    def renew_lock(self) -> None:
        """Forget who holds the lock: in the child of a fork, that thread does not exist."""
        self.lock = Lock()

    @contextmanager
    def publishing(self) -> Iterator[None]:
        """Guard a block that publishes; of nested ones, the outermost decides.

        Raises:
            kombu.exceptions.OperationalError: the broker did not answer a moment ago.
        """
        if self.entered.get():
            yield
            return
        self.admit()
        token = self.entered.set(True)
        try:
            yield
        except NO_ANSWER:
            self.open()
            raise
        else:
            self.close()
        finally:
            self.entered.reset(token)

    def admit(self) -> None:
        """Return if the caller may try, and keep all others out until he knows more."""
        with self.lock:
            if self.since is None:
                return
            seconds = self.until - time.monotonic()
            if seconds <= 0:
                self.start_pause()
                return
            raise OperationalError(
                f"the broker has not answered since {self.since:%H:%M:%S}, "
                f"and is tried again at {timezone.now() + timedelta(seconds=seconds):%H:%M:%S} (UTC)"
            )

    def open(self) -> None:
        """Let all callers fail at once for the next while."""
        with self.lock:
            self.since = self.since or timezone.now()
            self.start_pause()

    def start_pause(self) -> None:
        """Start a pause; the caller holds the lock."""
        pause = settings.BROKER_PAUSE if self.pause is None else self.pause
        self.until = time.monotonic() + pause.total_seconds()

    def close(self) -> None:
        """Let all callers try."""
        if self.since is not None:
            with self.lock:
                self.since = None


circuit = Circuit()
if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=circuit.renew_lock)


@celeryd_init.connect
@beat_init.connect
def always_try(**_: Any) -> None:
    """Do without the circuit where no request waits: what is refused there, a retry or a tick, is lost."""
    circuit.pause = timedelta(0)
