"""What waits in each queue, and what is wrong with that: for the home page and the console."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from celery import current_app
from django.db.models import Count, Min
from django.db.models.functions import Now
from django.utils.timesince import timesince

from durable.broker.circuit import circuit
from durable.broker.queues import queue_lengths
from durable.conf import conf
from durable.mail.models import Email
from durable.mail.tasks import deliver_email
from durable.tasks.enqueue import queue_for
from durable.tasks.models import PausedQueue, TaskRun

ASK_TIMEOUT = 1  # seconds; each worker answers within milliseconds
MAX_READ = 10_000  # rows of each table, those that wait longest: an index has them in this order


@dataclass
class QueueState:
    """One queue.

    Args:
        name: of the queue.
        messages: that wait in the broker; None if it does not answer.
        consumers: workers that consume it; None if the broker does not answer.
        paused: its pause, if there is one.
        waiting: rows that are due, of the MAX_READ that wait longest.
        oldest: how long the oldest of them has waited.
    """

    name: str
    messages: int | None = None
    consumers: int | None = None
    paused: PausedQueue | None = None
    waiting: int = 0
    oldest: timedelta = field(default_factory=timedelta)

    @property
    def shown_waiting(self) -> str:
        """The number of waiting rows, as far as they were counted."""
        return f"{self.waiting:,}" + ("+" if self.waiting >= MAX_READ else "")

    @property
    def shown_oldest(self) -> str:
        """How long the oldest row has waited, in words."""
        return in_words(self.oldest) if self.waiting else "–"

    @property
    def problem(self) -> str:
        """What is wrong, for a person, with what to do; empty if all is well."""
        if self.paused:
            return self.problem_of_pause
        if self.messages and self.consumers == 0:
            return (
                f"No worker consumes {self.name}, where messages wait. Start a worker for it"
                " (`make dev` starts those of the Procfile)."
            )
        if self.oldest > conf.QUEUE_MAX_WAIT:
            return (
                f"The oldest work in {self.name} has waited for {in_words(self.oldest)}, and the limit"
                f" is {in_words(conf.QUEUE_MAX_WAIT)}. Check its workers, or start more of them."
            )
        return ""

    @property
    def problem_of_pause(self) -> str:
        """The same for a paused queue in which work waits."""
        if not (self.paused and (self.messages or self.waiting)):
            return ""
        return f"{self.name} is paused by {self.paused.paused_by}, and work waits in it. Resume it in the console."


def in_words(length: timedelta) -> str:
    """Return a length of time as "7 minutes", without a second unit."""
    seconds = length.total_seconds()
    if seconds < 60:  # noqa: PLR2004 - seconds of a minute
        return f"{seconds:.0f} s"
    now = datetime(2000, 1, 1)  # noqa: DTZ001 - any time will do
    return timesince(now - length, now, depth=1).replace("\xa0", " ")


def read_queues(
    messages: Mapping[str, int] | None, consumers: Mapping[str, int] | None
) -> list[QueueState]:
    """Return the state of each queue of the service, and of others in which rows wait.

    Args:
        messages: by queue; None if the broker does not answer.
        consumers: by queue; None if they are unknown.
    """
    names = {queue.name: QueueState(queue.name) for queue in current_app.conf.task_queues}
    for name, count, oldest in waiting_rows():
        state = names.setdefault(name, QueueState(name))
        state.waiting += count
        state.oldest = max(state.oldest, oldest)
    paused = {row.queue: row for row in PausedQueue.objects.all()}
    for state in names.values():
        state.paused = paused.get(state.name)
        state.messages = None if messages is None else messages.get(state.name, 0)
        state.consumers = None if consumers is None else consumers.get(state.name, 0)
    return list(names.values())


def find_problems() -> dict[str, str]:
    """Return what is wrong with each queue, for people; none if all is well.

    Raises:
        kombu.exceptions.OperationalError, redis.exceptions.RedisError: the broker does not answer.
    """
    with circuit.guard():
        lengths = queue_lengths()
        # Asking takes a second, and without messages the answer does not matter.
        consumers = consumers_of(ask_workers()) if any(lengths.values()) else None
    states = read_queues(lengths, consumers)
    return {state.name: state.problem for state in states if state.problem}


def waiting_rows() -> Iterator[tuple[str, int, timedelta]]:
    """Yield queues in which rows wait, how many they are, and how long the oldest has waited."""
    tasks, mails = TaskRun.objects.waiting(), Email.objects.waiting()
    for now in tasks.values_list(Now(), flat=True)[:1]:  # the database's, and only if rows wait
        for queue, due in tasks.values_list("queue", "next_attempt_at")[:MAX_READ]:
            yield queue, 1, now - due
    for now in mails.values_list(Now(), flat=True)[:1]:
        found = mails[:MAX_READ].aggregate(
            count=Count("next_attempt_at"), due=Min("next_attempt_at")
        )
        if found["count"]:
            yield queue_for(deliver_email.name), found["count"], now - found["due"]


def ask_workers() -> dict[str, dict[str, Any]]:
    """Return what each running worker answers about itself; see durable/tasks/panel.py.

    Raises:
        kombu.exceptions.OperationalError, redis.exceptions.RedisError: the broker does not answer.
    """
    replies = current_app.control.broadcast("worker_status", reply=True, timeout=ASK_TIMEOUT)
    return {name: status for reply in replies or () for name, status in reply.items()}


def consumers_of(workers: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Return how many of the workers consume each queue."""
    counts: dict[str, int] = {}
    for status in workers.values():
        for queue in status.get("queues", ()):
            counts[queue] = counts.get(queue, 0) + 1
    return counts
