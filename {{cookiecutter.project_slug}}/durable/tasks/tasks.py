"""Tasks about tasks."""

import time
from collections.abc import Iterator

import structlog
from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.core.cache import cache
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from redis.exceptions import RedisError

from durable import leases
from durable.broker.queues import queue_lengths
from durable.tasks import runs
from durable.tasks.base import Task
from durable.tasks.models import TaskRun

logger = structlog.get_logger(__name__)

HEARTBEAT_KEY = "tasks:heartbeat"  # in the cache; the time of the last run
PURGED_AT_ONCE = 1_000  # rows; one short transaction each


@shared_task(base=Task, name="tasks.heartbeat", autoretry_for=())
def heartbeat() -> None:
    """Prove that Beat, the broker and a worker work together: the home page shows its age."""
    try:
        cache.set(HEARTBEAT_KEY, time.time(), None)
    except RedisError as error:
        logger.warning("heartbeat_not_recorded", error=str(error))


@shared_task(base=Task, name="tasks.requeue_stuck_runs", autoretry_for=())
def requeue_stuck_runs() -> int:
    """Ring for durable tasks that are due and that nobody has: their message was lost, or never sent.

    Most of those that wait have theirs in the queue: there are no more rung for than are missing.
    """
    due, rung = TaskRun.objects.due(), 0
    with leases.broker_may_be_away():
        lengths = queue_lengths()
        for queue in due.values_list("queue", flat=True).distinct():
            missing = due.filter(queue=queue).without_message(lengths.get(queue, 0))
            rung += leases.ring_for(missing, runs.publish)
    if rung:
        logger.warning("runs_requeued", count=rung)
    return rung


@shared_task(base=Task, name="tasks.purge_old_runs")
def purge_old_runs() -> int:
    """Delete what is done and what has failed once their retention is over.

    The second run of a failed task stays as long as that one, which else could be run again.
    """
    states, before = TaskRun.Status, Now() - settings.TASK_RUN_RETENTION
    failed_before = Now() - settings.FAILED_TASK_RETENTION
    old = TaskRun.objects.filter(
        Q(status=states.DONE, finished_at__lt=before, copy_of=None)
        | Q(status=states.REDELIVERED, queued_at__lt=before)
        | Q(status=states.FAILED, finished_at__lt=failed_before)
    )
    deleted = 0
    try:
        for count in delete_in_slices(old):
            deleted += count
    except SoftTimeLimitExceeded:
        logger.info("purge_goes_on_tomorrow", deleted=deleted)
    return deleted


def delete_in_slices(rows: QuerySet) -> Iterator[int]:
    """Delete rows, PURGED_AT_ONCE at a time, and yield how many have gone each time.

    Only their keys are read: there may be a megabyte of arguments and traceback in each.
    """
    while pks := list(rows.values_list("pk", flat=True)[:PURGED_AT_ONCE]):
        yield TaskRun.objects.filter(pk__in=pks).only("pk").delete()[0]
