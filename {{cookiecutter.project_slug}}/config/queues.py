"""Routes: the queue and the time limits of each task.

To add a queue, add a line here and a worker to the Procfile; `manage.py check --tag celery` reports
a queue without a worker.
"""

from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Any

from kombu import Queue

from config.settings.env import env


@dataclass(frozen=True)
class Route:
    """The queue and the time limits of some tasks.

    Args:
        tasks: a shell pattern of task names: `mail.deliver_*`.
        queue: the queue's name, as in a worker's `-Q`.
        soft_limit: seconds until `SoftTimeLimitExceeded` is raised inside the task.
        hard_limit: seconds until the pool process is killed; the task may then run again.
    """

    tasks: str
    queue: str
    soft_limit: int
    hard_limit: int


EMAIL_TIMEOUT = env.int("EMAIL_TIMEOUT", default=10)  # seconds for each answer of the server
# A delivery takes several requests, and large attachments are slow.
MAIL_LIMIT = max(30, 3 * EMAIL_TIMEOUT)  # seconds

# The first matching line wins; the last line matches every task.
ROUTES: tuple[Route, ...]

# % if cookiecutter.queues == "single"
ROUTES = (
    Route("mail.deliver_*", "default", soft_limit=MAIL_LIMIT, hard_limit=MAIL_LIMIT + 10),
    Route("reports.*", "default", soft_limit=29 * 60, hard_limit=30 * 60),
    Route("*", "default", soft_limit=60, hard_limit=75),
)

# % endif
# % if cookiecutter.queues == "by_priority"
ROUTES = (
    # A user waits for these.
    Route("mail.deliver_*", "high", soft_limit=MAIL_LIMIT, hard_limit=MAIL_LIMIT + 10),
    # No user waits for these, or the user sees their progress.
    Route("reports.*", "low", soft_limit=29 * 60, hard_limit=30 * 60),
    Route("*.purge_*", "low", soft_limit=60, hard_limit=75),
    Route("*.cleanup_*", "low", soft_limit=60, hard_limit=75),
    Route("*", "default", soft_limit=60, hard_limit=75),
)

# % endif
# % if cookiecutter.queues == "by_workload"
ROUTES = (
    Route("mail.deliver_*", "emails", soft_limit=MAIL_LIMIT, hard_limit=MAIL_LIMIT + 10),
    # Long tasks, with their own workers so that nothing waits behind them.
    Route("reports.*", "reports", soft_limit=29 * 60, hard_limit=30 * 60),
    # Short tasks of every kind; tasks longer than a minute belong to reports.
    Route("*", "default", soft_limit=60, hard_limit=75),
)

# % endif

# Redis delivers a message again if it is unacknowledged for this long. The time must exceed the
# slowest task plus its delay before a retry, which it spends in a worker; otherwise a second worker
# starts the same task while the first still runs it.
RETRY_MAX_DELAY = 600  # seconds
LIMIT_MARGIN = 60  # seconds, for the steps before and after the clock of the limit
VISIBILITY_TIMEOUT = timedelta(
    seconds=max(route.hard_limit for route in ROUTES) + RETRY_MAX_DELAY + LIMIT_MARGIN
)


def route_of(task_name: str) -> Route:
    """Return the route of the task with this name."""
    return next(route for route in ROUTES if fnmatchcase(task_name, route.tasks))


def broker_queues() -> list[Queue]:
    """Return the queues for Celery's `task_queues`, in the order of the table.

    Direct exchanges only: after a FLUSHALL, a topic exchange on Redis drops published messages.
    """
    names = dict.fromkeys(route.queue for route in ROUTES)
    return [Queue(name, routing_key=name) for name in names]


def route_task(name: str, *_: object, **__: object) -> dict[str, str]:
    """Celery's router: return the queue of a task by its name."""
    return {"queue": route_of(name).queue}


class Limits:
    """Celery's task annotation that sets the time limits."""

    def annotate(self, task: Any) -> dict[str, int]:
        """Return the limits for a task's class, in seconds: those of its decorator, else of its route.

        `manage.py check --tag celery` reports one that exceeds the longest limit of the table.
        """
        route = route_of(task.name)
        limits = {"soft_time_limit": route.soft_limit, "time_limit": route.hard_limit}
        return {name: limit for name, limit in limits.items() if not vars(task).get(name)}
