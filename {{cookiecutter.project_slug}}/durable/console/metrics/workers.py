"""What workers have stored in the cache: their heartbeats, and how long tasks waited and ran."""

from collections.abc import Mapping
from itertools import accumulate

from celery import current_app
from django.core.cache import cache as django_cache
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from durable.tasks.metrics import BUCKETS, KINDS, WorkerBeat, cache, label_of, read
from durable.tasks.tasks import HEARTBEAT_KEY

SILENT_AFTER = 30.0  # seconds; a worker beats every 2 s
OF_TASK = ("task", "queue")
HISTOGRAMS = {
    "wait": "Seconds from when a task was published or due to its start.",
    "run": "Seconds from the start of a task to its end.",
}
Counts = Mapping[str, float]


def read_workers() -> list[Metric]:
    """Return the metrics of the workers.

    Raises:
        redis.exceptions.RedisError: the cache does not answer.
    """
    try:
        workers, tasks = read()
        last = django_cache.get(HEARTBEAT_KEY)
    finally:  # the thread of this scrape ends, and Django has a cache per thread
        cache().client.connection_pool.disconnect()
    heartbeat = GaugeMetricFamily(
        "durable_heartbeat_timestamp_seconds",
        "When a worker last ran the heartbeat task that Beat sends; absent if too long ago.",
    )
    if last is not None:
        heartbeat.add_metric([], float(last))
    return [*of_workers(workers), *of_tasks(tasks), heartbeat]


def of_workers(workers: list[WorkerBeat]) -> list[Metric]:
    """Return the metrics of each worker, and the consumers of each queue."""
    age = GaugeMetricFamily(
        "durable_worker_heartbeat_age_seconds",
        "Seconds since the last heartbeat of a worker that did not stop by itself.",
        labels=["worker"],
    )
    running = GaugeMetricFamily(
        "durable_worker_running_tasks", "Tasks that a worker runs.", labels=["worker"]
    )
    consumers = GaugeMetricFamily(
        "durable_queue_consumers", "Workers that consume a queue.", labels=["queue"]
    )
    counts = dict.fromkeys((queue.name for queue in current_app.conf.task_queues), 0)
    for worker in workers:
        age.add_metric([worker.name], worker.age)
        running.add_metric([worker.name], worker.running)
        for queue in worker.queues if worker.age < SILENT_AFTER else ():
            counts[label_of(queue)] = counts.get(label_of(queue), 0) + 1
    for queue, count in counts.items():
        consumers.add_metric([queue], count)
    return [age, running, consumers]


def of_tasks(tasks: Mapping[tuple[str, str], Counts]) -> list[Metric]:
    """Return the histograms and the outcomes of each task and queue."""
    outcomes = CounterMetricFamily(
        "durable_task_runs", "Runs of tasks.", labels=[*OF_TASK, "outcome"]
    )
    histograms = {
        kind: HistogramMetricFamily(
            f"durable_task_{kind}_seconds", HISTOGRAMS[kind], labels=OF_TASK
        )
        for kind in KINDS
    }
    for (task, queue), counts in sorted(tasks.items()):
        for field, count in counts.items():
            name, _, rest = field.partition(":")
            if name == "outcome":
                outcomes.add_metric([task, queue, rest], count)
        for kind, histogram in histograms.items():
            histogram.add_metric([task, queue], buckets(kind, counts), counts.get(f"{kind}:sum", 0))
    return [outcomes, *histograms.values()]


def buckets(kind: str, counts: Counts) -> list[tuple[str, float]]:
    """Return the buckets of a histogram, each with the runs of all smaller ones."""
    bounds = [*map(str, BUCKETS), "+Inf"]
    amounts = (counts.get(f"{kind}:{number}", 0.0) for number in range(len(bounds)))
    return list(zip(bounds, accumulate(amounts), strict=True))
