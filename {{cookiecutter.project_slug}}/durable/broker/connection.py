"""What kombu 5.7 gets wrong about Redis, set right; durable/tests/faults/test_broker.py tells when it no longer is."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from kombu import Connection
from kombu.transport import virtual
from kombu.transport.redis import Channel, QoS
from redis.exceptions import ConnectionError as RedisConnectionError

from durable import heartbeat

# Seconds. kombu waits 2, 4, 6 and up to 30 between its attempts, so a worker would come back half
# a minute after Redis did. One attempt every few seconds is no load for a server.
RECONNECT = {"interval_start": 0.5, "interval_step": 0.5, "interval_max": 5}

channel_class: Any = Channel
connection_class: Any = Connection
qos_class: Any = QoS
connparams = channel_class._connparams
# The private one: publishing a heartbeat takes this way too, and while Redis hangs, a worker is there.
ensure_connection = connection_class._ensure_connection
ack, reject = qos_class.ack, qos_class.reject


def connparams_of_an_open_connection(channel: Any, *args: Any, **kwargs: Any) -> Any:
    """Report a connection that is closed already as what it is: a lost connection.

    When Redis dies while a worker waits for messages more than once, the first that cannot be closed keeps
    Celery 5.7 from closing the others before it gives up their connection. What still wants to
    use it then, a late acknowledgement or the second attempt to close it, fails with
    AttributeError. The worker does not take that for a connection error, and ends.
    """
    if getattr(channel.connection, "client", None) is None:
        raise RedisConnectionError("the connection was closed while it was still needed")
    return connparams(channel, *args, **kwargs)


def ensure_connection_soon(
    connection: Any, errback: Any = None, max_retries: Any = None, *pauses: Any, **options: Any
) -> Any:
    """Try to connect until it works, with the pauses of RECONNECT, and show that this goes on."""

    def report(error: Exception, pause: float) -> None:
        heartbeat.beat(heartbeat.WAITING)
        if errback:
            errback(error, pause)

    options = options if pauses else RECONNECT | options
    return ensure_connection(connection, report, max_retries, *pauses, **options)


def making_room(settle: Callable[..., None]) -> Callable[..., None]:
    """Let a message go that cannot be acknowledged: Redis hands it out again after a while.

    kombu goes on to count it among those that the worker may have at a time. A worker of two
    processes that missed two acknowledgements while the network was away stayed connected and
    took no task ever again.
    """

    @wraps(settle)
    def settled(qos: Any, delivery_tag: str, *args: Any, **kwargs: Any) -> None:
        try:
            settle(qos, delivery_tag, *args, **kwargs)
        except qos.channel.connection_errors:
            virtual.QoS.ack(qos, delivery_tag)
            raise

    return settled


channel_class._connparams = connparams_of_an_open_connection
connection_class._ensure_connection = ensure_connection_soon
qos_class.ack, qos_class.reject = making_room(ack), making_room(reject)
