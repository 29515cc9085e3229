"""Reads the periodic tasks from the database: one bad row must not stop the others."""

from collections.abc import Iterator
from typing import Any

import structlog
from django.db import Error as DatabaseError
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from durable.beat.entries import KINDS, DeclaredEntry, find_problem
from durable.text import describe_error

logger = structlog.get_logger(__name__)


class Rows:
    """The rows of all periodic tasks."""

    def __init__(self) -> None:
        self.logged: dict[str, Any] = {}  # the problem of each entry that was logged

    def read(self, *, enabled: bool = True) -> list[PeriodicTask]:
        """Return the enabled rows that Django can read, or the disabled ones.

        django-celery-beat skips those whose hour is far from now. That includes a daily entry that
        became due hours ago, during an outage.
        """
        try:
            return list(PeriodicTask.objects.filter(enabled=enabled).prefetch_related(*KINDS))
        except DatabaseError:
            raise
        except Exception:  # noqa: BLE001 - a value that its field refuses, and with it all rows
            return list(self.read_one_by_one(enabled=enabled))

    def read_one_by_one(self, *, enabled: bool) -> Iterator[PeriodicTask]:
        """Yield the rows that Django can read, and log the others."""
        for pk in PeriodicTask.objects.filter(enabled=enabled).values_list("pk", flat=True):
            try:
                yield from PeriodicTask.objects.filter(pk=pk)
            except DatabaseError:
                raise
            except Exception as error:  # noqa: BLE001 - see `read`
                self.log_problem(f"row {pk}", describe_error(error), None)

    def entries(self, rows: list[PeriodicTask], app: Any) -> Iterator[DeclaredEntry]:
        """Yield the entries that can run, and log the others."""
        for row in rows:
            if problem := find_problem(row):
                self.log_problem(row.name, problem, row.date_changed)
            else:
                correct_last_run(row)
                yield DeclaredEntry(row, app=app)

    def log_problem(self, name: str, problem: str, changed: Any) -> None:
        """Log why an entry cannot run, once after each change of its row."""
        if self.logged.get(name) != (problem, changed):
            self.logged[name] = (problem, changed)
            logger.error("periodic_task_cannot_run", entry=name, problem=problem)


def correct_last_run(row: PeriodicTask) -> None:
    """Take a last run in the future for a run now: otherwise the entry would wait until then.

    A clock that was ahead wrote it: Beat's, or that of the server that saved a new row.
    """
    now = timezone.now()
    last_run = row.last_run_at or (row.date_changed if row.start_time is None else now)
    if last_run > now:
        logger.warning("periodic_task_ran_in_the_future", entry=row.name, time=str(last_run))
        row.last_run_at = now
        PeriodicTask.objects.filter(pk=row.pk).update(last_run_at=now)
