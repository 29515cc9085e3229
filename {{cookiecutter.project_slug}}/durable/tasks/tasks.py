"""Periodic tasks of the engine."""

import time

import structlog
from celery import shared_task
from django.apps import apps
from django.core.cache import cache
from django.db.models import Q
from django.db.models.functions import Now
from redis.exceptions import RedisError

from durable.conf import conf
from durable.requeue import purge, requeue
from durable.tasks import enqueue, pausing
from durable.tasks.base import Task
from durable.tasks.models import CrashCount, TaskRun

logger = structlog.get_logger(__name__)

HEARTBEAT_KEY = "tasks:heartbeat"  # in the cache: when the heartbeat ran last


@shared_task(base=Task, name="tasks.heartbeat", autoretry_for=())
def heartbeat() -> None:
    """Prove that Beat, the broker and a worker work together: the home page shows its age."""
    try:
        # The age is measured by the clock of Redis: those of two machines may differ.
        cache.set(HEARTBEAT_KEY, time.time(), conf.HEARTBEAT_MAX_AGE)
    except RedisError as error:
        logger.warning("heartbeat_not_recorded", error=str(error))


@shared_task(base=Task, name="tasks.requeue_stuck_runs", autoretry_for=(), runs_in_beat=True)
def requeue_stuck_runs() -> int:
    """Publish due durable tasks that no worker has: their message was lost, or never sent."""
    due = TaskRun.objects.due().only(
        "name", "queue", "options", "attempts", "correlation_id", "traceparent"
    )
    queues = set(due.values_list("queue", flat=True).distinct()) - pausing.paused_queues()
    return requeue({queue: due.filter(queue=queue) for queue in queues}, enqueue.publish)


@shared_task(base=Task, name="tasks.sync_paused_queues", autoretry_for=(), runs_in_beat=True)
def sync_paused_queues() -> int:
    """Let workers that missed a change of the paused queues read them; return how many there are."""
    # First, so that no worker waits for a database that is away.
    paused = len(pausing.paused_queues())
    pausing.notify_workers()
    return paused


@shared_task(base=Task, name="tasks.purge_old_runs")
def purge_old_runs() -> int:
    """Delete done and failed tasks, and entries of the audit log, when their retention is over.

    The replay of a failed task stays as long as that one, which could be replayed again otherwise.
    """
    states, before = TaskRun.Status, Now() - conf.TASK_RETENTION
    failed_before = Now() - conf.FAILED_TASK_RETENTION
    old = TaskRun.objects.filter(
        Q(status=states.DONE, finished_at__lt=before, replay_of=None)
        | Q(status=states.FAILED, finished_at__lt=failed_before)
    )
    entries = apps.get_model("console", "AuditEntry")  # of a layer above, which no task imports
    audited = entries.objects.filter(at__lt=Now() - conf.AUDIT_RETENTION).order_by("at")
    return sum(map(purge, (old, CrashCount.objects.filter(updated_at__lt=before), audited)))
