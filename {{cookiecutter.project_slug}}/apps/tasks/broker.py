"""What Celery's Redis transport gets wrong, set right here."""

from typing import Any

from kombu.transport.redis import Channel
from redis.exceptions import ConnectionError as RedisConnectionError

channel_class: Any = Channel
connparams = channel_class._connparams


def connparams_of_an_open_connection(channel: Any, *args: Any, **kwargs: Any) -> Any:
    """Report a connection that is closed already as what it is: a lost connection.

    When Redis dies under load, Celery 5.7.0 closes the connection while a late acknowledgement
    still wants to use it. kombu 5.7.0 then fails with AttributeError, which the worker does not
    take for a connection error, and the whole worker ends.
    """
    if channel.connection.client is None:
        raise RedisConnectionError("the connection was closed while it was still needed")
    return connparams(channel, *args, **kwargs)


channel_class._connparams = connparams_of_an_open_connection
