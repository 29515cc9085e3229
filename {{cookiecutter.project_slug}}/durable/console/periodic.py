"""The leading Beat and its periodic tasks."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models.functions import Now
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from django_celery_results.models import TaskResult

from durable.beat.entries import KINDS, find_problem, schedule_of
from durable.beat.rows import Rows
from durable.console.finished import Finished
from durable.health.queues import in_words
from durable.tasks.models import BeatLeader

MAX_ENTRIES = 200


@dataclass(frozen=True)
class Entry:
    """A periodic task: its row, its next run, and the outcome of its last one, as far as it is known."""

    row: PeriodicTask
    next_run: datetime | None
    outcome: str
    outcome_at: datetime | None
    problem: str

    @property
    def due(self) -> str:
        """When the next run is, in words."""
        length = self.next_run - timezone.now() if self.next_run else timedelta(0)
        return f"in {in_words(length)}" if length > timedelta(seconds=1) else "now"

    @property
    def schedule(self) -> str:
        """The schedule in words; empty if there is none, or it is no schedule."""
        kinds = [getattr(self.row, kind) for kind in KINDS if getattr(self.row, kind)]
        try:
            return ", ".join(getattr(kind, "human_readable", "") or str(kind) for kind in kinds)
        except Exception:  # noqa: BLE001 - rows come from anywhere, and `problem` has the reason
            return ""


def leader() -> str:
    """Return the name of the leading Beat, or an empty string if none leads."""
    row = BeatLeader.objects.filter(lease_until__gt=Now()).exclude(token=None).first()
    return row.holder if row else ""


def entries(finished: Iterable[Finished], *, disabled: bool = False) -> list[Entry]:
    """Return the enabled periodic tasks by name, MAX_ENTRIES at most.

    Args:
        disabled: whether to return the disabled ones, too.
        finished: the newest tasks: a task that stores no result has its outcome here.
    """
    found = [*Rows().read(), *(Rows().read(enabled=False) if disabled else ())]
    rows = sorted(found, key=lambda row: str(row.name))[:MAX_ENTRIES]
    known = outcomes_of_tasks(finished)
    results = results_of_beat(rows)
    return [entry(row, results.get(row.name) or known.get(row.task)) for row in rows]


def entry(row: PeriodicTask, outcome: tuple[str, datetime] | None) -> Entry:
    """Return one entry."""
    problem = find_problem(row)
    text, at = outcome or ("not recorded", None)
    due = next_run(row) if row.enabled and not problem else None
    return Entry(row, due, text, at, problem)


def next_run(row: PeriodicTask) -> datetime:
    """Return when a periodic task is due; now if it is overdue."""
    now = timezone.now()
    last: Any = row.last_run_at or row.date_changed or now
    due: datetime = now + schedule_of(row).remaining_estimate(last)
    return max(due, row.start_time or now, now)


def outcomes_of_tasks(finished: Iterable[Finished]) -> dict[str, tuple[str, datetime]]:
    """Return the newest outcome by task. Of a plain task only failures are rows."""
    newest: dict[str, tuple[str, datetime]] = {}
    for work in finished:
        if work.name not in newest or newest[work.name][1] < work.at:
            newest[work.name] = ("failed" if work.failed else "done", work.at)
    return newest


def results_of_beat(rows: Iterable[PeriodicTask]) -> dict[str, tuple[str, datetime]]:
    """Return the outcomes of the tasks that Beat runs itself; see durable/beat/sweeps.py."""
    ids = [f"beat: {row.name}" for row in rows]
    found = TaskResult.objects.filter(task_id__in=ids)
    return {
        str(name): ("done" if status == "SUCCESS" else "failed", at)
        for name, status, at in found.values_list("periodic_task_name", "status", "date_done")
    }
