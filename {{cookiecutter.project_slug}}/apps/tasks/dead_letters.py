"""Keeps a row of every task that has failed for good."""

import json
import re
from typing import Any

import structlog
from celery import signals
from django.core.serializers.json import DjangoJSONEncoder
from django.db import DatabaseError
from django.utils import timezone

from apps.tasks.correlation import correlation_id
from apps.tasks.models import TaskRun

logger = structlog.get_logger(__name__)

SECRET = re.compile(
    r"password|passwd|secret|token|api_?key|authorization|credential", re.IGNORECASE
)
MASKED = "********"


def masked(value: Any) -> Any:
    """Return `value` as JSON can hold it, with everything under a secret's name hidden."""
    if isinstance(value, dict):
        return {
            str(key): MASKED if SECRET.search(str(key)) else masked(item)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [masked(item) for item in value]
    return json.loads(json.dumps(value, cls=DjangoJSONEncoder, default=repr))


@signals.task_failure.connect
def keep_failed_task(
    *,
    sender: Any = None,
    task_id: str = "",
    exception: BaseException | None = None,
    args: Any = (),
    kwargs: Any = None,
    einfo: Any = None,
    **_: Any,
) -> None:
    """Write the dead letter. A database that is away must not hide the task's own error."""
    request = sender.request
    try:
        TaskRun.objects.update_or_create(
            id=task_id,
            defaults={
                "name": sender.name,
                "args": masked(args or ()),
                "kwargs": masked(kwargs or {}),
                "queue": (request.delivery_info or {}).get("routing_key") or "",
                "status": TaskRun.Status.FAILED,
                "attempts": (request.retries or 0) + 1,
                "worker": request.hostname or "",
                "last_error": f"{type(exception).__name__}: {exception}",
                "traceback": str(getattr(einfo, "traceback", "")),
                "correlation_id": correlation_id(),
                "finished_at": timezone.now(),
            },
        )
    except DatabaseError:
        logger.exception("failed_task_not_recorded", task=sender.name, task_id=task_id)
