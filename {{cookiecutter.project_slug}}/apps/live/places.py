"""How many sockets a user may have: as many as there are places, which lie in the cache.

All web processes see the same cache. Of a process that has crashed, the places run out.
"""

import os
from contextlib import suppress
from datetime import timedelta
from math import ceil

from django.conf import settings
from django.core.cache import cache

from durable.api import BROKER_ERRORS, Circuit

# All sockets of a process take turns here, so one wait for a cache that hangs is enough.
circuit = Circuit(timedelta(seconds=5))
if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=circuit.renew_lock)


def take(user_id: int) -> str | None:
    """Return the place that a new socket of a user has taken, or None if there is none left.

    Without a cache, nobody is refused: all are given the first place.
    """
    places = [f"live:{user_id}:{number}" for number in range(settings.LIVE_SOCKETS_PER_USER)]
    try:
        with circuit.publishing():
            return next((place for place in places if cache.add(place, 1, lease())), None)
    except BROKER_ERRORS:
        return places[0]


def renew(place: str) -> None:
    """Keep a place for another while."""
    with suppress(*BROKER_ERRORS), circuit.publishing():
        cache.set(place, 1, lease())


def give_back(place: str) -> None:
    """Let another socket have the place."""
    with suppress(*BROKER_ERRORS), circuit.publishing():
        cache.delete(place)


def lease() -> int:
    """Return for how many seconds a place is taken: one ping may be late, and the next one too."""
    interval: float = settings.LIVE_PING_INTERVAL
    return ceil(3 * interval)
