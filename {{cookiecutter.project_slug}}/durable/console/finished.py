"""The newest finished work: how much, how long it waited and ran, and what came of it."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from celery.exceptions import TaskRevokedError
from django.db.models import F
from django.utils import timezone

from durable.mail.models import Email
from durable.mail.tasks import deliver_email
from durable.tasks.enqueue import queue_for
from durable.tasks.models import TaskRun

NEWEST = 5_000  # rows that are read of each kind
OUTCOMES = 1_000  # tasks of each outcome, of any age, that are read for the last outcomes of periodic tasks
MINUTES = 60  # that the chart shows
RECENT = 5  # minutes, whose average is "per minute"
DAY = timedelta(days=1)
UNSENT = (*Email.UNFINISHED, Email.Status.CANCELED, Email.Status.SUPPRESSED)


@dataclass(frozen=True)
class Finished:
    """One finished task or email."""

    queue: str
    name: str
    at: datetime
    failed: bool
    started_at: datetime | None
    due_at: datetime


@dataclass
class Speed:
    """The finished work of one queue, or of all.

    Args:
        done, failed: how many in each minute before now, by its number.
        waits, runs: seconds of each.
    """

    done: Counter[int] = field(default_factory=Counter)
    failed: Counter[int] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)
    runs: list[float] = field(default_factory=list)

    def add(self, work: Finished, now: datetime) -> None:
        """Count one piece of work, if it ended within the last MINUTES."""
        minute = int((now - work.at).total_seconds() // 60)
        if minute >= MINUTES:
            return
        (self.failed if work.failed else self.done)[minute] += 1
        if work.started_at:
            self.waits.append(max((work.started_at - work.due_at).total_seconds(), 0.0))
            self.runs.append(max((work.at - work.started_at).total_seconds(), 0.0))

    def per_minute(self, counts: Counter[int]) -> float:
        """Return the average of the last RECENT minutes."""
        return sum(counts[minute] for minute in range(RECENT)) / RECENT

    @property
    def done_per_minute(self) -> float:
        return self.per_minute(self.done)

    @property
    def failed_per_minute(self) -> float:
        return self.per_minute(self.failed)

    @property
    def wait_times(self) -> str:
        """The percentiles of the waits, in words."""
        return percentiles(self.waits)

    @property
    def run_times(self) -> str:
        """The percentiles of the runs, in words."""
        return percentiles(self.runs)


def percentiles(seconds: Sequence[float]) -> str:
    """Return p50, p95 and p99 of some times as "0.1 / 2.0 / 9.5 s"."""
    if not seconds:
        return ""
    ordered = sorted(seconds)
    found = (
        ordered[min(int(len(ordered) * share), len(ordered) - 1)] for share in (0.5, 0.95, 0.99)
    )
    return f"{' / '.join(f'{value:.2f}' if value < 1 else f'{value:.1f}' for value in found)} s"


def finished_tasks(limit: int, since: datetime | None = None) -> Iterator[Finished]:
    """Yield the newest done and the newest failed tasks, without canceled ones.

    Old failed tasks lie far apart in the table, so many of them take long to read.

    Args:
        limit: rows of each outcome.
        since: when the oldest of them ended.
    """
    fields = ("queue", "name", "finished_at", "started_at", "next_attempt_at", "error_type")
    for status in (TaskRun.Status.DONE, TaskRun.Status.FAILED):
        rows = TaskRun.objects.filter(status=status, finished_at__isnull=False)
        if since:
            rows = rows.filter(finished_at__gte=since)
        newest = rows.order_by("-finished_at").values_list(*fields)[:limit]
        for queue, name, at, started_at, due_at, error in newest:
            if error != TaskRevokedError.__name__:
                failed = status == TaskRun.Status.FAILED
                yield Finished(queue, name, at, failed, started_at, due_at)


@dataclass
class Emails:
    """The newest emails of a day.

    Args:
        statuses: how many have each status.
        providers: how many each provider has in each status; those without an attempt have none.
        finished: those that were sent, or have failed.
        cut: whether the day has more than NEWEST emails.
    """

    statuses: Counter[str]
    providers: Counter[tuple[str, str]]
    finished: list[Finished]
    cut: bool


def read_emails() -> Emails:
    """Return the newest emails of the last 24 hours; a failed one ended when its last attempt began."""
    since = timezone.now() - DAY
    fields = ("status", "provider", "template", "sent_at", "started_at", "next_attempt_at")
    rows = Email.objects.filter(queued_at__gte=since).order_by(F("queued_at").desc())
    found = list(rows.values_list(*fields)[:NEWEST])
    queue = queue_for(deliver_email.name)
    finished = [
        Finished(queue, template, sent_at or started_at, not sent_at, started_at, due_at)
        for status, _provider, template, sent_at, started_at, due_at in found
        if status not in UNSENT and (sent_at or started_at)
    ]
    providers = Counter((provider, status) for status, provider, *_ in found if provider)
    return Emails(Counter(row[0] for row in found), providers, finished, len(found) == NEWEST)


def speeds(work: Iterable[Finished]) -> tuple[Speed, dict[str, Speed]]:
    """Return the speed of all work together, and of each queue."""
    now, total = timezone.now(), Speed()
    of_queues: dict[str, Speed] = defaultdict(Speed)
    for each in work:
        total.add(each, now)
        of_queues[each.queue].add(each, now)
    return total, of_queues
