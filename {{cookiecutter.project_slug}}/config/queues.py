"""The one table of queues: which tasks go where, and how long each may take.

A new queue is one line here and one worker line in the Procfile; `manage.py check --tag celery`
says if one of them is missing.
"""

from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Any

from kombu import Queue

from config.settings.env import env


@dataclass(frozen=True)
class Route:
    """Where some tasks go, and their limits.

    Args:
        tasks: a pattern of task names, as in a shell: `mail.deliver_*`.
        queue: what workers are told with `-Q`.
        soft_limit: seconds until `SoftTimeLimitExceeded` is raised inside the task.
        hard_limit: seconds until the pool process is killed; the task may then run again.
    """

    tasks: str
    queue: str
    soft_limit: int
    hard_limit: int


EMAIL_TIMEOUT = env.int("EMAIL_TIMEOUT", default=10)  # seconds for one step of a conversation
# A conversation with the provider has several steps, and large attachments take their time.
MAIL_LIMIT = max(30, 3 * EMAIL_TIMEOUT)  # seconds

# The first line that fits decides, and the last one takes all the rest.
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
    # A person waits for these.
    Route("mail.deliver_*", "high", soft_limit=MAIL_LIMIT, hard_limit=MAIL_LIMIT + 10),
    # Nobody waits for these, or is told how far they are.
    Route("reports.*", "low", soft_limit=29 * 60, hard_limit=30 * 60),
    Route("*.purge_*", "low", soft_limit=60, hard_limit=75),
    Route("*.cleanup_*", "low", soft_limit=60, hard_limit=75),
    Route("*", "default", soft_limit=60, hard_limit=75),
)

# % endif
# % if cookiecutter.queues == "by_workload"
ROUTES = (
    Route("mail.deliver_*", "emails", soft_limit=MAIL_LIMIT, hard_limit=MAIL_LIMIT + 10),
    # Long work, with workers of its own so that nothing waits behind it.
    Route("reports.*", "reports", soft_limit=29 * 60, hard_limit=30 * 60),
    # Short work of every kind; longer than a minute belongs to reports.
    Route("*", "default", soft_limit=60, hard_limit=75),
)

# % endif

# Redis hands a message out again when it was not acknowledged for this long. It has to
# outlast the slowest task and its pause before a retry, which it spends in a worker: else a second
# worker starts the same task while the first still runs.
RETRY_LONGEST = 600  # seconds
LIMIT_MARGIN = 60  # seconds, for the steps before and after the limit's clock
VISIBILITY_TIMEOUT = timedelta(
    seconds=max(route.hard_limit for route in ROUTES) + RETRY_LONGEST + LIMIT_MARGIN
)


def route_of(task_name: str) -> Route:
    """Return the line of the table that holds for the task of this name."""
    return next(route for route in ROUTES if fnmatchcase(task_name, route.tasks))


def broker_queues() -> list[Queue]:
    """Return the queues for Celery's `task_queues`, in the order of the table.

    Direct exchanges only: a topic exchange on Redis drops what is published after a FLUSHALL.
    """
    names = dict.fromkeys(route.queue for route in ROUTES)
    return [Queue(name, routing_key=name) for name in names]


def route_task(name: str, *_: object, **__: object) -> dict[str, str]:
    """Celery's router: tell the queue of a task by its name."""
    return {"queue": route_of(name).queue}


class Limits:
    """Celery's annotation that gives each task its time limits."""

    def annotate(self, task: Any) -> dict[str, int]:
        """Return the soft and the hard limit in seconds for `task`."""
        route = route_of(task.name)
        return {"soft_time_limit": route.soft_limit, "time_limit": route.hard_limit}
