"""The queues at the broker."""

from typing import Any

from celery import current_app


def queue_lengths() -> dict[str, int]:
    """Return the number of messages that wait in each queue.

    Raises:
        kombu.exceptions.OperationalError, redis.exceptions.RedisError: the broker does not answer.
    """
    with current_app.connection_for_read() as broker:
        return lengths(broker.default_channel)


def check_broker() -> dict[str, int]:
    """Return the same, if the broker accepts writes.

    Raises:
        kombu.exceptions.OperationalError, redis.exceptions.RedisError: it does not, or does not answer.
    """
    with current_app.connection_for_write() as broker:
        check_writes(broker.default_channel)
        return lengths(broker.default_channel)


def check_writes(channel: Any) -> None:
    """Request a write; a full Redis and a replica refuse it, and answer everything else.

    Raises:
        redis.exceptions.RedisError: the broker refuses, or does not answer.
    """
    with channel.conn_or_acquire() as client:
        client.set("health.probe", 1, xx=True)  # there is no such key, so nothing is written


def lengths(channel: Any) -> dict[str, int]:
    """Return the number of messages that wait in each queue."""
    return {
        queue.name: channel.queue_declare(queue.name).message_count
        for queue in current_app.conf.task_queues
    }


def peek(queue: str, count: int) -> list[bytes]:
    """Return the messages that workers receive next from a queue, the first one first; all of them stay.

    Raises:
        kombu.exceptions.OperationalError, redis.exceptions.RedisError: the broker does not answer.
    """
    found: list[bytes] = []
    with current_app.connection_for_read() as broker:
        channel: Any = broker.default_channel
        for step in channel.priority_steps:
            # kombu gives its prefix to the commands that it uses itself; this is none of them.
            key = f"{channel.global_keyprefix}{channel._q_for_pri(queue, step)}"
            if missing := count - len(found):
                found += reversed(channel.client.lrange(key, -missing, -1))
    return found
