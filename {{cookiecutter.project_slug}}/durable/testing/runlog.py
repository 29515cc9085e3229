"""A list in Redis of what ran: tasks append to it in the worker, and tests read it."""

import redis
from django.conf import settings

KEY = "tests:ran"


def client() -> redis.Redis:
    """Return a connection to the Redis of the tests."""
    return redis.Redis.from_url(settings.REDIS_URL, decode_responses=True)


def record(name: str) -> None:
    """Append a name."""
    with client() as connection:
        connection.rpush(KEY, name)


def ran() -> list[str]:
    """Return the recorded names, oldest first."""
    with client() as connection:
        return list(connection.lrange(KEY, 0, -1))


def forget() -> None:
    """Empty the list."""
    with client() as connection:
        connection.delete(KEY)
