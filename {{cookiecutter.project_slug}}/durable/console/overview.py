"""The numbers of the first page. Each query reads a bounded number of rows, which an index finds."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import time
from typing import Any

from django.core.cache import cache
from django.utils import timezone
from redis.exceptions import RedisError

from durable.broker.circuit import circuit
from durable.broker.queues import queue_lengths
from durable.console import chart, periodic
from durable.console.finished import (
    MINUTES,
    NEWEST,
    OUTCOMES,
    Speed,
    finished_tasks,
    read_emails,
    speeds,
)
from durable.errors import BROKER_ERRORS
from durable.health.queues import QueueState, ask_workers, consumers_of, in_words, read_queues
from durable.tasks.enqueue import row_id
from durable.tasks.models import TaskRun

WORKERS_KEY = "console:workers"
WORKERS_AGE = 5  # seconds: asking takes one, and several people may look
MAX_RUNNING = 10_000  # rows that are counted


@dataclass(frozen=True)
class QueueRow:
    """One line of the table of queues."""

    state: QueueState
    speed: Speed
    running: int

    @property
    def sparkline(self) -> str:
        return chart.sparkline(self.speed)


def read_broker() -> tuple[dict[str, int] | None, dict[str, Any] | None]:
    """Return the messages of each queue and what the workers answer; both None if Redis is away."""
    try:
        with circuit.guard():
            return queue_lengths(), known_workers()
    except BROKER_ERRORS:
        return None, None


def known_workers() -> dict[str, Any]:
    """Return what the workers answered, at most WORKERS_AGE ago."""
    workers: dict[str, Any] | None = cache.get(WORKERS_KEY)
    if workers is None:
        workers = ask_workers()
        cache.set(WORKERS_KEY, workers, WORKERS_AGE)
    return workers


def forget_workers() -> None:
    """Ask the workers the next time: a queue was paused or resumed."""
    try:
        cache.delete(WORKERS_KEY)
    except RedisError:  # then the page does without the workers
        return


def running_tasks() -> tuple[Counter[str], Counter[str]]:
    """Return how many durable tasks run by queue, and by worker."""
    running = TaskRun.objects.filter(status=TaskRun.Status.RUNNING).order_by("lease_until")
    found = list(running.values_list("queue", "worker")[:MAX_RUNNING])
    return Counter(queue for queue, _ in found), Counter(worker for _, worker in found)


def silent_workers(
    workers: Mapping[str, Any] | None, running_in: Counter[str]
) -> list[tuple[str, int]]:
    """Return the workers that run durable tasks according to their rows, but do not answer.

    Args:
        workers: their answers, by name; None if Redis is down.
        running_in: how many durable tasks run by worker.
    """
    if workers is None:
        return []
    return sorted((name, count) for name, count in running_in.items() if name not in workers)


def describe_workers(workers: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the workers by name, with lengths of time for people."""
    return [
        {
            "name": name,
            **status,
            "idle": max(status["processes"] - len(status["runs"]), 0),
            "runs": [describe_run(run) for run in status["runs"]],
            "received": [describe_received(task) for task in status.get("received", ())],
        }
        for name, status in sorted(workers.items())
        if "processes" in status  # else the worker answered with an error
    ]


def describe_run(run: dict[str, Any]) -> dict[str, Any]:
    """Return what a process runs, with how long it has, and the key of its row if it is durable."""
    key = row_id(run["id"]) if run.get("durable") else None
    return {**run, "run": key, "length": length_since(run["since"])}


def describe_received(task: dict[str, Any]) -> dict[str, Any]:
    """Return a task that waits in a worker, with its due time and the key of its row, if it has them."""
    key = row_id(task["id"]) if task.get("durable") else None
    due = datetime.fromtimestamp(task["due"], UTC) if task["due"] else None
    return {**task, "run": key, "due": due}


def length_since(seconds: float | None) -> str:
    """Return how long ago a time by a worker's clock is, in words."""
    return in_words(timedelta(seconds=max(time() - seconds, 0))) if seconds else ""


def read() -> dict[str, Any]:
    """Return the variables of the page."""
    messages, workers = read_broker()
    emails = read_emails()
    since = timezone.now() - timedelta(minutes=MINUTES)
    total, of_queues = speeds([*finished_tasks(NEWEST, since), *emails.finished])
    running, running_in = running_tasks()
    states = read_queues(messages, None if workers is None else consumers_of(workers))
    return {
        "redis_is_away": messages is None,
        "queues": [
            QueueRow(state, of_queues.get(state.name, Speed()), running[state.name])
            for state in states
        ],
        "problems": [state.problem for state in states if state.problem],
        "workers": describe_workers(workers or {}),
        "silent": silent_workers(workers, running_in),
        "leader": periodic.leader(),
        "entries": periodic.entries(finished_tasks(OUTCOMES)),
        "emails": sorted(emails.statuses.items()),
        "providers": [(*key, count) for key, count in sorted(emails.providers.items())],
        "emails_cut": emails.cut,
        "chart": chart.draw(total, timezone.localtime()),
        "now": timezone.now(),
    }
