"""The cache: Django's Redis cache, which stores JSON, clears its own keys only, and fails fast while Redis hangs.

Django's own one unpickles what it reads, so a caller that can write to Redis runs code in each
process. It clears a whole database, queues of the broker included. And each of its calls waits for
the time-out while Redis hangs.
"""

import json
import re
from functools import cache
from typing import Any

import redis
import structlog
from django.core.cache.backends.redis import RedisCache as DjangoRedisCache
from django.core.cache.backends.redis import RedisCacheClient
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from durable.broker.circuit import Circuit

logger = structlog.get_logger(__name__)

HINT = "cache strings, numbers, lists, and dicts with string keys; for a model, cache its id"
UNREADABLE = object()  # what a key holds that another program has written
BATCH = 1000  # keys per command of `clear`


@cache
def circuit_of(_servers: tuple[str, ...]) -> Circuit:
    """Return the circuit breaker of these servers. Django has a cache per thread; all of them share it."""
    return Circuit(errors=(RedisConnectionError, RedisTimeoutError))


@cache
def pools_of(_servers: tuple[str, ...], _options: str) -> dict[int, Any]:
    """Return the connection pools of these servers. Those of a short thread would stay open after it."""
    return {}


class JSONSerializer:
    def dumps(self, value: Any) -> str:
        """Return a value as JSON.

        Raises:
            TypeError: it would not come back as it is.
        """
        try:
            text = json.dumps(value, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise TypeError(f"cache: {error}: {HINT}") from None
        if json.loads(text) != value:
            raise TypeError(f"cache: a tuple, or a dict with keys that are not strings: {HINT}")
        return text

    def loads(self, data: bytes) -> Any:
        """Return the value of a JSON text, or UNREADABLE."""
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            logger.warning("cache_unreadable", bytes=len(data), error=repr(error))
            return UNREADABLE


class CacheClient(RedisCacheClient):
    """Django's client; a value that it cannot read counts as missing."""

    def __init__(self, servers: list[str], **options: Any) -> None:
        super().__init__(servers, **{"serializer": JSONSerializer, **options})
        self.circuit = circuit_of(tuple(servers))
        self._pools = pools_of(tuple(servers), repr(options))

    def get_client(self, key: Any = None, *, write: bool = False) -> Any:
        pool = self._get_connection_pool(write)  # type: ignore[attr-defined] # the stubs lack it
        return GuardedRedis(self.circuit, connection_pool=pool)

    def get(self, key: Any, default: Any) -> Any:
        value = super().get(key, default)
        return default if value is UNREADABLE else value

    def get_many(self, keys: Any) -> dict[Any, Any]:
        found = super().get_many(keys)
        return {key: value for key, value in found.items() if value is not UNREADABLE}

    def set_many(self, data: Any, timeout: Any) -> None:
        with self.circuit.guard():  # a pipeline goes past `GuardedRedis.execute_command`
            super().set_many(data, timeout)


class GuardedRedis(redis.Redis):
    """A client that fails at once while its circuit breaker is open."""

    def __init__(self, circuit: Circuit, **options: Any) -> None:
        super().__init__(**options)
        self.circuit = circuit

    def execute_command(self, *args: Any, **options: Any) -> Any:
        with self.circuit.guard():
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]


class RedisCache(DjangoRedisCache):
    """The backend for CACHES. KEY_PREFIX separates its keys from those of the broker and of other services.

    Every call raises redis.exceptions.RedisError, an open circuit included (CircuitOpenError).
    """

    def __init__(self, server: str | list[str], params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._class = CacheClient

    @property
    def client(self) -> Any:
        """Redis itself, for commands that Django's cache lacks; `make_key` returns their keys."""
        return self._cache.get_client(write=True)

    def clear(self) -> None:
        """Delete the keys of this cache, of all versions, and no other key."""
        client = self.client
        pattern = re.sub(r"([\\*?\[\]])", r"\\\1", self.key_prefix) + ":*"
        cursor = None
        while cursor != 0:
            cursor, keys = client.scan(cursor or 0, match=pattern, count=BATCH)
            if keys:
                client.unlink(*keys)
