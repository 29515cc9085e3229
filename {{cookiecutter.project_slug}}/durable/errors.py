"""The engine's own errors, and one tuple for each kind of outage."""

from django.db import InterfaceError, OperationalError
from kombu.exceptions import BatchPublishError  # type: ignore[attr-defined] # the stubs lack it
from kombu.exceptions import OperationalError as BrokerError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from requests import exceptions as http

# The connection is lost, or the server does not answer.
DATABASE_ERRORS: tuple[type[Exception], ...] = (OperationalError, InterfaceError)
# Redis does not answer, or refuses to write.
BROKER_ERRORS: tuple[type[Exception], ...] = (BrokerError, BatchPublishError, RedisError)
# Another attempt may succeed. Any other error is a bug; retrying does not help.
TRANSIENT_ERRORS: tuple[type[Exception], ...] = (
    *DATABASE_ERRORS,
    BrokerError,
    RedisConnectionError,
    RedisTimeoutError,
    http.ConnectionError,
    http.Timeout,
    ConnectionError,
    TimeoutError,
)


class CircuitOpenError(BrokerError, RedisConnectionError):
    """Redis did not answer a moment ago, so this process does not call it now."""


class PoisonTaskError(Exception):
    """Several workers in a row have died with the same work, so no further worker gets it."""


class TaskFailedError(Exception):
    """A task failed for good; the text names its error. `AsyncResult.get` raises it."""


class ArgumentsTooLargeError(ValueError):
    """The arguments of a task are larger than a message may be."""
