"""The queues at the broker."""

from typing import Any

from celery import current_app


def queue_lengths() -> dict[str, int]:
    """Return the number of messages that wait in each queue.

    Raises:
        kombu.exceptions.OperationalError, redis.exceptions.RedisError: the broker does not answer.
    """
    with current_app.connection_for_read() as broker:
        channel: Any = broker.default_channel
        return {
            queue.name: channel.queue_declare(queue.name).message_count
            for queue in current_app.conf.task_queues
        }
