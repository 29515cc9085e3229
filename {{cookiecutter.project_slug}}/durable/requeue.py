"""What keeps tables of work in order: due rows get a message again, old rows are deleted."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import structlog
from celery import current_app
from celery.exceptions import SoftTimeLimitExceeded
from django.db.models import QuerySet

from durable.broker.circuit import circuit
from durable.broker.queues import queue_lengths
from durable.errors import BROKER_ERRORS
from durable.leases import LeasedQuerySet

logger = structlog.get_logger(__name__)

PURGE_BATCH = 1_000  # rows deleted in one short transaction


def publish_all(rows: Iterable[Any], publish: Callable[[Any, Any], object]) -> int:
    """Publish a message for each row over one connection, many in one round trip.

    Args:
        rows: anything that `publish` takes.
        publish: publishes the message of one row with the producer that it gets.

    Returns:
        how many were published; 0 if the broker does not answer.
    """
    published = 0
    try:
        with (
            circuit.guard(),
            current_app.producer_or_acquire() as producer,
            producer.batch(),
        ):
            for row in rows:
                publish(row, producer)
                published += 1
    except BROKER_ERRORS as error:
        logger.warning("broker_unreachable", error=str(error))
        return 0
    return published


@contextmanager
def log_broker_errors() -> Iterator[None]:
    """Log an error of the broker and go on: the next sweep comes soon."""
    try:
        yield
    except BROKER_ERRORS as error:
        logger.warning("broker_unreachable", error=str(error))


def requeue(due: Mapping[str, LeasedQuerySet[Any]], publish: Callable[[Any, Any], object]) -> int:
    """Publish due rows that have no message, because it was lost or never sent.

    Most of those that wait have their message in the queue: no more are published than are missing.

    Args:
        due: the due rows of each queue, by the queue's name.
        publish: see `publish_all`.
    """
    published = 0
    with log_broker_errors():
        lengths = queue_lengths()
        for queue, rows in due.items():
            published += publish_all(rows.without_message(lengths.get(queue, 0)), publish)
    if published:
        logger.warning("rows_requeued", count=published, queues=sorted(due))
    return published


def purge(rows: QuerySet[Any]) -> int:
    """Delete rows, PURGE_BATCH at a time, until none is left or the soft time limit is reached.

    Only their keys are read: a row may hold a megabyte of arguments and traceback. The next run goes
    on where this one stopped.

    Args:
        rows: which ones; give them an order in which an index finds them.

    Returns:
        the number of rows deleted, without those that depend on them.
    """
    deleted = 0
    try:
        while pks := list(rows.values_list("pk", flat=True)[:PURGE_BATCH]):
            # Filtered again: a row may have changed since.
            found = rows.order_by().filter(pk__in=pks).only("pk")
            deleted += found.delete()[1].get(rows.model._meta.label, 0)
    except SoftTimeLimitExceeded:
        logger.info("purge_stopped_by_limit", table=rows.model._meta.db_table, deleted=deleted)
    else:
        logger.info("purged", table=rows.model._meta.db_table, deleted=deleted)
    return deleted
