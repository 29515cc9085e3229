"""Limits the sockets of a user: each takes one of LIVE_SOCKETS_PER_USER slots, which are cache keys.

All web processes share the cache. The slots of a crashed process expire.
"""

import os
from contextlib import suppress
from datetime import timedelta
from math import ceil

from django.conf import settings
from django.core.cache import cache

from durable.api import BROKER_ERRORS, Circuit

# The sockets of a process use the cache one after the other: only the first waits for a hanging one.
circuit = Circuit(timedelta(seconds=5))
if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=circuit.renew_lock)


def acquire(user_id: int) -> str | None:
    """Return a slot for a new socket of a user, or None if all are taken.

    There is no limit while the cache is down: each socket gets the first slot.
    """
    slots = [f"live:{user_id}:{number}" for number in range(settings.LIVE_SOCKETS_PER_USER)]
    try:
        with circuit.publishing():
            return next((slot for slot in slots if cache.add(slot, 1, lifetime())), None)
    except BROKER_ERRORS:
        return slots[0]


def renew(slot: str) -> None:
    """Extend the lifetime of a slot."""
    with suppress(*BROKER_ERRORS), circuit.publishing():
        cache.set(slot, 1, lifetime())


def release(slot: str) -> None:
    """Make a slot available to another socket."""
    with suppress(*BROKER_ERRORS), circuit.publishing():
        cache.delete(slot)


def lifetime() -> int:
    """Return the seconds until a slot expires: two pings in a row may be late."""
    interval: float = settings.LIVE_PING_INTERVAL
    return ceil(3 * interval)
