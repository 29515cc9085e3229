"""Pauses queues: workers stop taking messages from them, and publishing goes on.

A row of `PausedQueue` is the pause, so it survives a restart of workers and an empty Redis. A worker
reads the rows when it is ready and whenever it is notified; a sweep notifies all workers once a minute.
"""

from typing import Any

import structlog
from celery import current_app
from django.db import Error as DatabaseError

from durable.broker.circuit import circuit
from durable.db import close_connections
from durable.errors import BROKER_ERRORS
from durable.tasks.models import PausedQueue

logger = structlog.get_logger(__name__)

COMMAND = "sync_paused_queues"  # the remote-control command of durable/tasks/panel.py
# The paused queues of this worker: it resumes these, and no queue that it never had.
_paused_here: set[str] = set()


def notify_workers() -> bool:
    """Let all workers read the paused queues now; return whether the broker took the command."""
    try:
        with circuit.guard():
            current_app.control.broadcast(COMMAND)
    except BROKER_ERRORS as error:
        logger.warning("broker_unreachable", error=str(error))
        return False
    return True


def paused_queues() -> set[str]:
    """Return the names of the paused queues.

    Sweeps leave them out: they publish some messages again each minute, and none is taken meanwhile.
    """
    return set(PausedQueue.objects.values_list("queue", flat=True))


def sync(consumer: Any) -> None:
    """Stop or start consuming from queues, as the database says; runs in a worker's main process.

    Args:
        consumer: of the worker.
    """
    try:
        paused = paused_queues()
    except DatabaseError as error:  # the sweep comes soon
        logger.warning("paused_queues_unknown", error=str(error))
        return
    finally:
        close_connections()
    for queue in sorted(paused & set(consumer.app.amqp.queues.consume_from)):
        consumer.cancel_task_queue(queue)
        _paused_here.add(queue)
        logger.info("queue_paused", queue=queue)
    for queue in sorted(_paused_here - paused):
        consumer.add_task_queue(queue)
        _paused_here.remove(queue)
        logger.info("queue_resumed", queue=queue)


def paused_here() -> list[str]:
    """Return the queues of this worker that are paused."""
    return sorted(_paused_here)
