"""A circuit breaker: a Redis that is down costs one request its time-out, not every request."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta
from threading import Lock
from typing import ClassVar
from weakref import WeakSet

from django.utils import timezone

from durable.conf import conf
from durable.errors import BROKER_ERRORS, CircuitOpenError


class Circuit:
    """Opens after an outage: callers fail at once until `reset_after`, then one of them tries.

    Args:
        reset_after: time until the next trial, by default BROKER_CIRCUIT_RESET; zero never opens.
        errors: the errors that open it.
    """

    all: ClassVar[WeakSet["Circuit"]] = WeakSet()  # the circuits of this process

    def __init__(
        self,
        reset_after: timedelta | None = None,
        errors: tuple[type[Exception], ...] = BROKER_ERRORS,
    ) -> None:
        self.reset_after = reset_after
        self.errors = errors
        self.since: datetime | None = None  # open since then, or closed
        self.next_trial = 0.0  # by the monotonic clock
        self.entered = ContextVar("entered", default=False)
        self.renew_lock()
        self.all.add(self)

    def renew_lock(self) -> None:
        """Replace the lock: in the child of a fork, the thread that holds it does not exist."""
        self.lock = Lock()

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Guard a block that calls Redis; of nested blocks the outermost decides.

        Raises:
            CircuitOpenError: the circuit is open.
        """
        if self.entered.get():
            yield
            return
        self.admit()
        token = self.entered.set(True)
        try:
            yield
        except self.errors:
            self.open()
            raise
        else:
            self.close()
        finally:
            self.entered.reset(token)

    def admit(self) -> None:
        """Return if the caller may try, and refuse all others until the result is known."""
        with self.lock:
            if self.since is None:
                return
            seconds = self.next_trial - time.monotonic()
            if seconds <= 0:
                self.schedule_trial()
                return
            raise CircuitOpenError(
                f"Redis has not answered since {self.since:%H:%M:%S} (UTC); the next attempt "
                f"is at {timezone.now() + timedelta(seconds=seconds):%H:%M:%S}"
            )

    def open(self) -> None:
        """Let all callers fail at once until the next trial."""
        with self.lock:
            self.since = self.since or timezone.now()
            self.schedule_trial()

    def schedule_trial(self) -> None:
        """Set the time of the next trial; the caller holds the lock."""
        delay = conf.BROKER_CIRCUIT_RESET if self.reset_after is None else self.reset_after
        self.next_trial = time.monotonic() + delay.total_seconds()

    def close(self) -> None:
        """Let all callers try."""
        if self.since is not None:
            with self.lock:
                self.since = None


def renew_locks() -> None:
    """Replace the locks of all circuits after a fork."""
    for each in Circuit.all:
        each.renew_lock()


if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=renew_locks)

circuit = Circuit()  # of publishing


def disable_circuit_breaker() -> None:
    """Always try to publish in this process: in a worker or Beat no request waits, and a refused retry is lost."""
    circuit.reset_after = timedelta(0)
