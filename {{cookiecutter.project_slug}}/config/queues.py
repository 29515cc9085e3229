"""The one table of queues: their names, who goes where, and how long a task may take.

A new queue is one entry here and one worker line in the Procfile. Every task that no
pattern names goes to the first queue.
"""

from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Any

from kombu import Queue as BrokerQueue


@dataclass(frozen=True)
class Queue:
    """A queue, the names of the tasks that it takes, and their limits.

    Args:
        name: what workers are told with `-Q`.
        tasks: patterns of task names, as in a shell: `mail.deliver_*`.
        soft_limit: seconds until `SoftTimeLimitExceeded` is raised inside the task.
        hard_limit: seconds until the pool process is killed; the task may then run again.
    """

    name: str
    tasks: tuple[str, ...]
    soft_limit: int
    hard_limit: int


# % if cookiecutter.queues == "by_workload"
QUEUES: tuple[Queue, ...] = (
    # Short work of every kind; longer than a minute belongs to reports.
    Queue("default", tasks=(), soft_limit=60, hard_limit=75),
    # Three times the provider's time-out (EMAIL_TIMEOUT), since a conversation has several steps.
    Queue("emails", tasks=("mail.deliver_*",), soft_limit=30, hard_limit=40),
    # Long work, with workers of its own so that nothing waits behind it.
    Queue("reports", tasks=("reports.*",), soft_limit=29 * 60, hard_limit=30 * 60),
)
# % endif

# Redis hands a message out again when it was not acknowledged for this long. It has to
# outlast the slowest task, or a second worker starts the same task while the first still
# runs; the minute is for the steps before and after the limit's clock.
VISIBILITY_TIMEOUT = timedelta(seconds=max(queue.hard_limit for queue in QUEUES) + 60)


def queue_of(task_name: str) -> Queue:
    """Return the queue that takes the task of this name."""
    for queue in QUEUES:
        if any(fnmatchcase(task_name, pattern) for pattern in queue.tasks):
            return queue
    return QUEUES[0]


def broker_queues() -> list[BrokerQueue]:
    """Return the queues for Celery's `task_queues`.

    Direct exchanges only: a topic exchange on Redis drops what is published after a FLUSHALL.
    """
    return [BrokerQueue(queue.name, routing_key=queue.name) for queue in QUEUES]


def route_task(name: str, *_: object, **__: object) -> dict[str, str]:
    """Celery's router: tell the queue of a task by its name."""
    return {"queue": queue_of(name).name}


class QueueLimits:
    """Celery's annotation that gives each task the time limits of its queue."""

    def annotate(self, task: Any) -> dict[str, int]:
        """Return the soft and the hard limit in seconds for `task`."""
        queue = queue_of(task.name)
        return {"soft_time_limit": queue.soft_limit, "time_limit": queue.hard_limit}
