"""The metrics that come from rows. Each query reads a bounded number of rows, which an index finds."""

from collections import Counter
from datetime import timedelta
from itertools import chain

from celery import current_app
from celery.exceptions import TaskRevokedError
from django.db.models import QuerySet
from django.db.models.functions import Now
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from durable.conf import conf
from durable.console.finished import read_emails
from durable.health.problems import failed_tasks
from durable.health.queues import read_queues
from durable.health.readiness import database
from durable.mail import connection
from durable.mail.models import Email
from durable.tasks.metrics import label_of
from durable.tasks.models import BeatLeader, TaskRun

MAX_COUNTED = 10_000  # rows of each state
RECENT = timedelta(minutes=5)
NO_PROVIDER = "none"  # of mails that were not handed to one yet
STATUS = TaskRun.Status


def read_database() -> list[Metric]:
    """Return the metrics of queues, tasks, mails and Beat.

    Raises:
        django.db.Error: the database does not answer.
    """
    with database():
        return list(chain(of_queues(), of_tasks(), of_mails(), of_beat()))


def of_queues() -> list[Metric]:
    """Return the rows that wait in each queue."""
    waiting, oldest, paused = (
        GaugeMetricFamily(f"durable_queue_{name}", text, labels=["queue"])
        for name, text in (
            ("waiting_rows", "Tasks and mails that are due, at most 10,000 of each."),
            ("oldest_seconds", "Seconds that the oldest of them has waited; 0 if none waits."),
            ("paused", "Whether the queue is paused."),
        )
    )
    states = read_queues(None, None)
    for queue in {label_of(state.name): None for state in states}:
        found = [state for state in states if label_of(state.name) == queue]
        waiting.add_metric([queue], sum(state.waiting for state in found))
        oldest.add_metric([queue], max(state.oldest.total_seconds() for state in found))
        paused.add_metric([queue], float(any(state.paused for state in found)))
    return [waiting, oldest, paused]


def of_tasks() -> list[Metric]:
    """Return how many rows each state has, and how many tasks have failed of late."""
    rows = GaugeMetricFamily(
        "durable_task_rows", "Durable and failed tasks, at most 10,000 of each.", labels=["state"]
    )
    for status in (STATUS.QUEUED, STATUS.RUNNING, STATUS.DONE):
        rows.add_metric([status], bounded_count(TaskRun.objects.filter(status=status)))
    failed = TaskRun.objects.filter(status=STATUS.FAILED).order_by("-finished_at")
    errors = Counter(failed.values_list("error_type", flat=True)[:MAX_COUNTED])
    canceled = errors.pop(TaskRevokedError.__name__, 0)
    rows.add_metric(["canceled"], canceled)
    rows.add_metric([STATUS.FAILED], errors.total())
    recent = GaugeMetricFamily(
        "durable_tasks_failed_recently",
        "Tasks that failed for good in the last five minutes, at most 10,000.",
        labels=["queue"],
    )
    counts = Counter(label_of(queue) for queue, _name in failed_tasks(RECENT))
    for name in dict.fromkeys((*(queue.name for queue in current_app.conf.task_queues), *counts)):
        recent.add_metric([name], counts[name])
    return [rows, recent]


def bounded_count(rows: QuerySet[TaskRun]) -> int:
    """Return the number of some rows, at most MAX_COUNTED."""
    return rows.order_by()[:MAX_COUNTED].count()


def of_mails() -> list[Metric]:
    """Return the mails of a day by status and provider, and how long the oldest mail waits."""
    mails = GaugeMetricFamily(
        "durable_mails",
        "Mails of the last 24 hours, the newest 5,000.",
        labels=["status", "provider"],
    )
    counts = mail_counts()
    for provider in dict.fromkeys(
        (connection.provider(), NO_PROVIDER, *(name for name, _ in counts))
    ):
        for status in Email.Status:
            mails.add_metric([status, provider], counts[provider, status])
    oldest = GaugeMetricFamily(
        "durable_mail_oldest_seconds",
        "Seconds since the oldest unsent mail was queued, with all its attempts; 0 if there is none.",
    )
    oldest.add_metric([], max(map(age_of_oldest, Email.UNFINISHED)))
    return [mails, oldest]


def mail_counts() -> Counter[tuple[str, str]]:
    """Return how many of the newest mails each provider has in each status."""
    found = read_emails()
    counts, attempted = Counter(found.providers), Counter[str]()
    for (_provider, status), count in found.providers.items():
        attempted[status] += count
    for status, count in found.statuses.items():
        counts[NO_PROVIDER, status] = count - attempted[status]
    return counts


def age_of_oldest(status: str) -> float:
    """Return the seconds since the oldest mail of a status was queued; 0 if there is none."""
    mails = Email.objects.filter(status=status).order_by("queued_at")
    times = mails.values_list("queued_at", Now())[:1]
    return next(((now - since).total_seconds() for since, now in times), 0.0)


def of_beat() -> list[Metric]:
    """Return how long ago the leading Beat worked, by the database's clock."""
    age = GaugeMetricFamily(
        "durable_beat_age_seconds",
        "Seconds since the leading Beat renewed its lease, as with each tick.",
    )
    for until, now in BeatLeader.objects.values_list("lease_until", Now()):
        age.add_metric([], (now - until + conf.BEAT_LEASE).total_seconds())
    return [age]
