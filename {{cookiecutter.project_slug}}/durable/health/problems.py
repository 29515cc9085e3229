"""What is wrong with the service, in words. The home page and the console use the same functions."""

from collections import Counter
from datetime import timedelta

from celery.exceptions import TaskRevokedError
from django.db.models.functions import Now

from durable.errors import BROKER_ERRORS
from durable.health import queues, status
from durable.tasks.models import TaskRun

MAX_FAILED = 10_000  # tasks that are read; an index finds them
MAX_SHOWN = 5  # names of tasks
RECENT = timedelta(hours=1)  # between two reports of a problem that lasts
QUEUE = "Queue "  # the start of the name of a problem with a queue


def find() -> tuple[dict[str, str], bool]:
    """Return the problems by name, and whether they include the queues: the broker may not answer."""
    found = {check.name: check.detail for check in status.check_parts() if not check.ok}
    if text := describe_failed():
        found["Failed tasks"] = text
    try:
        stuck = queues.find_problems()
    except BROKER_ERRORS:
        return found, False
    return found | {f"{QUEUE}{queue}"[:255]: text for queue, text in stuck.items()}, True


def failed_tasks(length: timedelta) -> list[tuple[str, str]]:
    """Return queue and name of the tasks that failed for good of late, without canceled ones.

    Args:
        length: how long ago, at most.
    """
    failed = TaskRun.objects.filter(
        status=TaskRun.Status.FAILED, finished_at__gt=Now() - length
    ).order_by("-finished_at")
    rows = failed.values_list("queue", "name", "error_type")[:MAX_FAILED]
    return [(queue, name) for queue, name, error in rows if error != TaskRevokedError.__name__]


def describe_failed() -> str:
    """Return which tasks have failed within RECENT, or an empty string."""
    names = Counter(name for _queue, name in failed_tasks(RECENT))
    if not names:
        return ""
    shown = ", ".join(f"{count:,} × {name}" for name, count in names.most_common(MAX_SHOWN))
    more = ", …" if len(names) > MAX_SHOWN else ""
    return f"Tasks have failed within an hour: {shown}{more}. Find the reason in the console, then replay them."
