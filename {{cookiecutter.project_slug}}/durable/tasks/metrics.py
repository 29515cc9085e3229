"""Measures tasks in the main process of each worker, and stores the numbers in the cache, for `/metrics`.

The main process sees every start and end, also of a task whose pool process dies. With each heartbeat
it adds what it has counted to the cache's Redis, so `/metrics` of web has the numbers of all workers,
also of those that have stopped. While Redis is away, they wait in the worker.

Keys in the cache: a set of names, for each task and queue a hash of counts, for each worker a text
that expires.
"""

import json
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite, nan
from typing import Any

from celery import current_app
from celery.exceptions import Ignore, Reject, Retry
from django.conf import settings
from django.core.cache import caches
from redis.exceptions import RedisError

from durable.conf import conf

PUBLISHED_AT = "published_at"  # in the header of a message: seconds since 1970
BUCKETS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)  # seconds
KINDS = ("wait", "run")  # the two histograms
OTHER = "other"  # a queue that the service does not have
INDEX = "metrics"  # the set of names
TASK_MAX_AGE = 7 * 24 * 3600  # seconds since the last run; a renamed task disappears then
WORKER_MAX_AGE = 900  # seconds; a worker that was killed disappears then

Counts = Counter[str]
# What has been counted since the last flush, by task and queue.
_pending: defaultdict[tuple[str, str], Counts] = defaultdict(Counter)


@dataclass(frozen=True)
class WorkerBeat:
    """A worker that has not said that it stops.

    Args:
        name: of the worker.
        age: seconds since its last heartbeat, by the clock of Redis.
        queues: that it consumes, without paused ones.
        running: tasks that it runs.
    """

    name: str
    age: float
    queues: list[str]
    running: int


def enabled() -> bool:
    """Whether there is a `/metrics`."""
    return bool(conf.METRICS_TOKEN or conf.METRICS_NETWORKS)


def record(request: Any, outcome: str, seconds: float) -> None:
    """Count a run of a task, once.

    Args:
        request: of the task, as a worker's main process has it.
        outcome: done, retried, rejected, ignored, failed or crashed.
        seconds: that it ran.
    """
    if not enabled() or getattr(request, "measured", False):
        return
    request.measured = True
    queue = label_of((request.delivery_info or {}).get("routing_key"))
    counts = _pending[request.task.name, queue]
    counts[f"outcome:{outcome}"] += 1
    observe(counts, "run", seconds)
    observe(counts, "wait", wait_of(request))


def label_of(queue: object) -> str:
    """Return the name of a queue, or OTHER: messages and old rows hold any text, and each label costs memory."""
    # Not Celery's own copy of the setting: looking that up takes longer than all else that a run costs here.
    return next((each.name for each in settings.CELERY_TASK_QUEUES if each.name == queue), OTHER)


def observe(counts: Counts, kind: str, seconds: float) -> None:
    """Add a length of time to a histogram, unless it is none."""
    if isfinite(seconds):
        seconds = max(seconds, 0.0)  # the clocks of two machines differ
        counts[f"{kind}:{bisect_left(BUCKETS, seconds)}"] += 1
        counts[f"{kind}:sum"] += seconds  # type: ignore[assignment] # the one that is no number of runs


def wait_of(request: Any) -> float:
    """Return the seconds from publishing, or from the time that the message names, to the start; or NaN."""
    try:
        published = float(request.request_dict[PUBLISHED_AT])
    except (LookupError, TypeError, ValueError, OverflowError):
        return nan
    if not isfinite(published):
        return nan
    due = request.eta.timestamp() if request.eta else 0.0
    return float((request.time_start or time.time()) - max(published, due))


def record_result(request: Any, result: tuple[Any, Any, float | None]) -> None:
    """Count the run of a task whose pool process has answered.

    Args:
        request: of the task.
        result: whether it raised, what it returned or raised, and its seconds if it succeeded.
    """
    raised, value, seconds = result
    if raised or seconds is None:
        record_end(request, outcome_of(value))
    else:
        record(request, "done", seconds)


def outcome_of(info: Any) -> str:
    """Return the outcome of a task that raised."""
    error = getattr(info.exception, "exc", None) or info.exception
    for kind, outcome in ((Retry, "retried"), (Ignore, "ignored"), (Reject, "rejected")):
        if isinstance(info.exception, kind) or isinstance(error, kind):
            return outcome
    return "failed"


def record_end(request: Any, outcome: str) -> None:
    """Count a run that ended without a measure of its own: by an error, a limit, or the death of its process."""
    record(request, outcome, time.time() - (request.time_start or time.time()))


@contextmanager
def pipeline() -> Iterator[Any]:
    """Collect commands for the cache's Redis, which runs all or none of them.

    Raises:
        redis.exceptions.RedisError: it does not answer, or did not a moment ago.
    """
    client = cache().client
    with client.circuit.guard(), client.pipeline(transaction=True) as commands:
        yield commands


def cache() -> Any:
    """Return the cache that stores the numbers; the check of `/metrics` makes sure that it is the engine's."""
    return caches["default"]


def key_of(*name: str) -> str:
    """Return the key of a name in the index."""
    return str(cache().make_key(":".join((INDEX, *name))))


def flush(worker: str, running: int) -> None:
    """Store what was counted, and that a worker lives; without Redis, the next heartbeat does.

    Args:
        worker: the name of this worker.
        running: tasks that it runs.
    """
    if not enabled():
        return
    state = {"queues": sorted(current_app.amqp.queues.consume_from), "running": running}
    try:
        with pipeline() as commands:
            commands.sadd(key_of(), json.dumps(["worker", worker]))
            commands.set(key_of("worker", worker), json.dumps(state), ex=WORKER_MAX_AGE)
            add_pending(commands)
            commands.execute()
    except RedisError:  # a scrape shows it: the heartbeat becomes old
        return
    _pending.clear()


def add_pending(commands: Any) -> None:
    """Add what was counted to what Redis has."""
    for (task, queue), counts in _pending.items():
        key = key_of("task", task, queue)
        commands.sadd(key_of(), json.dumps(["task", task, queue]))
        for field, amount in counts.items():
            commands.hincrbyfloat(key, field, amount)
        commands.expire(key, TASK_MAX_AGE)


def stop(worker: str) -> None:
    """Store the last counts of a worker that stops, and forget it."""
    if not enabled():
        return
    flush(worker, 0)
    try:
        with pipeline() as commands:
            commands.delete(key_of("worker", worker))
            commands.execute()
    except RedisError:  # it expires
        return


def read() -> tuple[list[WorkerBeat], dict[tuple[str, str], dict[str, float]]]:
    """Return the workers, and the counts of each task and queue.

    Raises:
        redis.exceptions.RedisError: the cache does not answer.
    """
    client = cache().client
    names = sorted(client.smembers(key_of()))
    workers: list[WorkerBeat] = []
    tasks: dict[tuple[str, str], dict[str, float]] = {}
    for raw, value, milliseconds in read_values(names):
        kind, *name = json.loads(raw)
        if value is None or value == {}:
            client.srem(key_of(), raw)
        elif kind == "worker":
            age = WORKER_MAX_AGE - milliseconds / 1000
            workers.append(WorkerBeat(name[0], age, **json.loads(value)))
        else:
            counts = {field.decode(): float(amount) for field, amount in value.items()}
            tasks[name[0], name[1]] = counts
    return workers, tasks


def read_values(names: list[bytes]) -> Iterator[tuple[bytes, Any, int]]:
    """Yield each name of the index with its value, and the milliseconds until it expires."""
    with pipeline() as commands:
        for raw in names:
            kind, *rest = json.loads(raw)
            key = key_of(kind, *rest)
            (commands.get if kind == "worker" else commands.hgetall)(key)
            commands.pttl(key)
        found = iter(commands.execute())
    for raw in names:
        yield raw, next(found), next(found)
