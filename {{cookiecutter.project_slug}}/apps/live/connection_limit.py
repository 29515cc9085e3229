"""Limits the sockets of a user: each takes one of LIVE_SOCKETS_PER_USER slots, which are cache keys.

All web processes share the cache. The slots of a crashed process expire.
"""

from contextlib import suppress
from math import ceil

from django.conf import settings
from django.core.cache import cache
from redis.exceptions import RedisError


def acquire(user_id: int) -> str | None:
    """Return a slot for a new socket of a user, or None if all are taken.

    There is no limit while the cache is down: each socket gets the first slot.
    """
    slots = [f"live:{user_id}:{number}" for number in range(settings.LIVE_SOCKETS_PER_USER)]
    try:
        return next((slot for slot in slots if cache.add(slot, 1, lifetime())), None)
    except RedisError:
        return slots[0]


def renew(slot: str) -> None:
    """Extend the lifetime of a slot."""
    with suppress(RedisError):
        cache.set(slot, 1, lifetime())


def release(slot: str) -> None:
    """Make a slot available to another socket."""
    with suppress(RedisError):
        cache.delete(slot)


def lifetime() -> int:
    """Return the seconds until a slot expires: two pings in a row may be late."""
    interval: float = settings.LIVE_PING_INTERVAL
    return ceil(3 * interval)
