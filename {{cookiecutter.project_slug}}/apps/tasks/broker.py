"""What Celery's Redis transport gets wrong, set right here."""

from typing import Any

from kombu import Connection
from kombu.transport.redis import Channel
from redis.exceptions import ConnectionError as RedisConnectionError

from apps.tasks import liveness

# Seconds. kombu waits 2, 4, 6 and up to 30 between its attempts, so a worker would come back half
# a minute after Redis did. One attempt every few seconds is no load for a server.
RECONNECT = {"interval_start": 0.5, "interval_step": 0.5, "interval_max": 5}

channel_class: Any = Channel
connection_class: Any = Connection
connparams = channel_class._connparams
# The private one: publishing a heartbeat takes this way too, and while Redis hangs, a worker is there.
ensure_connection = connection_class._ensure_connection


def connparams_of_an_open_connection(channel: Any, *args: Any, **kwargs: Any) -> Any:
    """Report a connection that is closed already as what it is: a lost connection.

    When Redis dies under load, Celery 5.7.0 closes the connection while a late acknowledgement
    still wants to use it. kombu 5.7.0 then fails with AttributeError, which the worker does not
    take for a connection error, and the whole worker ends.
    """
    if channel.connection.client is None:
        raise RedisConnectionError("the connection was closed while it was still needed")
    return connparams(channel, *args, **kwargs)


def ensure_connection_soon(
    connection: Any, errback: Any = None, max_retries: Any = None, *pauses: Any, **options: Any
) -> Any:
    """Try to connect until it works, with the pauses of RECONNECT, and show that this goes on."""

    def report(error: Exception, pause: float) -> None:
        liveness.waits_for_broker()
        if errback:
            errback(error, pause)

    options = options if pauses else RECONNECT | options
    return ensure_connection(connection, report, max_retries, *pauses, **options)


channel_class._connparams = connparams_of_an_open_connection
connection_class._ensure_connection = ensure_connection_soon
