"""What each log line of a task carries: name, queue, attempt, ids and, at its end, the duration.

django-structlog logs the events of tasks and clears the context before each. The receivers here add to it.
"""

import time
from typing import Any

import structlog
from django.dispatch import receiver
from django_structlog.celery import signals

from durable.correlation import correlation_id
from durable.tasks.enqueue import ATTEMPT, queue_of

PUBLISHED = "__django_structlog__"  # in the header of a message: the publisher's context
# Of the task that publishes, and not of the one that it publishes.
OWN = ("task", "queue", "attempt", "duration_ms", "email_id")


def context_of(name: str, request: Any) -> dict[str, Any]:
    """Return the fields of the log lines of a task.

    Args:
        name: of the task.
        request: Celery's.
    """
    return {
        "task": name,
        "task_id": request.id,
        "queue": queue_of(request),
        "attempt": getattr(request, ATTEMPT, None) or (request.retries or 0) + 1,
    }


@receiver(signals.bind_extra_task_metadata)
def bind_task(*, task: Any, **_: Any) -> None:
    """Bind the fields of a task that starts; without a request, its first task names the work."""
    request = task.request
    bind = structlog.contextvars.bind_contextvars
    bind(**context_of(task.name, request))
    bind(correlation_id=correlation_id() or request.root_id or request.id)


@receiver(signals.modify_context_before_task_publish)
def publish_ids_only(*, context: dict[str, Any], **_: Any) -> None:
    """Leave what belongs to the publishing task out of the message."""
    for name in OWN:
        context.pop(name, None)


def bind_duration(request: Any) -> None:
    """Bind the duration of a task that ends here; django-structlog adds it to some lines only."""
    if started := getattr(request, "_django_structlog_started_at", None):
        duration = round((time.monotonic_ns() - started) / 1_000_000)
        structlog.contextvars.bind_contextvars(duration_ms=duration)


def main_process_context(name: str, request: Any, started: float | None) -> dict[str, Any]:
    """Return the fields of a task's log lines in the worker's main process.

    Args:
        name: of the task.
        request: Celery's, as the pool has it.
        started: when the task started (time.time), or None.
    """
    published = getattr(request, PUBLISHED, None)
    ids = published if isinstance(published, dict) else {}
    context = {**ids, **context_of(name, request)}
    context["correlation_id"] = (
        ids.get("correlation_id") or ids.get("request_id") or request.root_id or request.id
    )
    if started:
        context["duration_ms"] = round((time.time() - started) * 1000)
    return context
