"""Beat's scheduler: it copies the schedule in code to the database, and publishes what is due.

Any number of Beats may run; see `durable/beat/leader.py`. The leader saves the run of an entry in
the transaction that publishes its task, so the next leader reads from the database what is due.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from celery.beat import SchedulingError
from django.db import Error as DatabaseError
from django.db import close_old_connections, connection, transaction
from django.db.models import F
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler, ModelEntry

from durable import heartbeat
from durable.beat.leader import Candidate, LostLeadershipError
from durable.conf import conf
from durable.errors import BROKER_ERRORS, DATABASE_ERRORS

DECLARED = "Managed in config/schedule.py; changes made here to its schedule are overwritten at the next start."

logger = structlog.get_logger(__name__)


@contextmanager
def deferred_stop_signals() -> Iterator[None]:
    """Defer SIGTERM and SIGINT to the end of the context.

    Celery's handler closes the scheduler at once. In the middle of a query, that would deadlock on the
    connection's lock; between publishing and saving, the task would be published twice.
    """
    received: list[int] = []
    handlers = {
        number: signal.signal(number, lambda number, _frame: received.append(number))
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for deferred in received:
            signal.raise_signal(deferred)


def set_idle_timeout() -> None:
    """Let PostgreSQL abort this transaction if this Beat's machine is gone: its locks block the next leader."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('idle_in_transaction_session_timeout', %s, true)",
                [f"{conf.BEAT_LEASE.total_seconds():g}s"],
            )


class DeclaredEntry(ModelEntry):  # type: ignore[misc]
    """An entry that saves only the fields of its run, so that an operator's concurrent edit stays."""

    def save(self) -> bool:
        """Save the run; False if the entry has just been disabled or deleted."""
        row = PeriodicTask.objects.filter(pk=self.model.pk, enabled=True)
        run = {field: getattr(self.model, field) for field in ("last_run_at", "total_run_count")}
        return bool(row.update(**run) == 1)


class DeclaredScheduler(DatabaseScheduler):  # type: ignore[misc]
    """django-celery-beat's scheduler, for several Beats, with a schedule that is declared in code.

    Entries that were removed from the code are removed from the database. Rows that an operator
    created stay, and a declared entry that an operator disabled stays disabled.
    """

    Entry = DeclaredEntry
    # Tasks then use a connection of the app's pool, which fails at once if the broker is down. Celery's
    # own producer would retry forever, and the lease would expire meanwhile.
    producer = None
    max_interval: float

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.candidate = Candidate()
        self.outage: Exception | None = None
        super().__init__(*args, **kwargs)
        self.max_interval = min(self.max_interval, conf.BEAT_LEASE.total_seconds() / 3)

    def setup_schedule(self) -> None:
        """Do nothing: Beat calls this when it starts, and another Beat may lead."""

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Beat, and publish an entry that is due if this Beat leads.

        Returns:
            seconds until the next call.
        """
        heartbeat.beat()
        with deferred_stop_signals():
            close_old_connections()
            try:
                if self.is_leader():
                    return float(super().tick(*args, **kwargs))
            except LostLeadershipError:
                self.step_down()
            except BROKER_ERRORS as error:
                logger.warning("broker_unreachable", error=str(error))
                self.reset()
                return float(self.max_interval)
            except DatabaseError as error:
                logger.warning("database_unreachable", error=str(error))
                self.step_down()
                return float(self.max_interval)
            return float(conf.BEAT_FOLLOWER_INTERVAL)

    def is_leader(self) -> bool:
        """Renew the lease, or try to acquire it."""
        if self.candidate.leads:
            if self.candidate.renew():
                return True
            self.step_down()
        if self.candidate.acquire():
            self.declare()
        return self.candidate.leads

    def step_down(self) -> None:
        """Stop leading, and read the schedule again before this Beat publishes the next entry."""
        self.candidate.step_down()
        self.reset()

    def reset(self) -> None:
        """Read the whole schedule from the database at the next tick."""
        self._heap = None
        self._initial_read = True

    def close(self) -> None:
        """Stop, and let another Beat take over at once."""
        super().close()
        self.candidate.release()

    def declare(self) -> None:
        """Copy the schedule in code to the database."""
        PeriodicTask.objects.filter(description=DECLARED).exclude(
            name__in=self.app.conf.beat_schedule
        ).delete()
        # An entry that has never run is due by its `date_changed`, which the copy below would reset.
        never_run = PeriodicTask.objects.filter(enabled=True, last_run_at=None, start_time=None)
        never_run.update(last_run_at=F("date_changed"))
        super().setup_schedule()

    def update_from_dict(self, mapping: dict[str, dict[str, Any]]) -> None:
        """Insert or update entries, and mark those that are declared in code; Celery adds others."""
        declared = self.app.conf.beat_schedule
        super().update_from_dict(
            {
                name: {**entry, "description": DECLARED} if name in declared else entry
                for name, entry in mapping.items()
            }
        )

    def enabled_models_qs(self) -> Any:
        """Return all enabled rows.

        django-celery-beat skips those whose hour is far from now. That includes a daily entry that
        became due hours ago, during an outage.
        """
        return self.Model.objects.enabled()

    def reserve(self, entry: Any) -> Any:
        """Return the entry after its run; `apply_entry` saves it.

        django-celery-beat leaves the old entry in its schedule, and would publish it again when it
        rebuilds its heap from there.
        """
        entry_after = self._schedule[entry.name] = next(entry)
        return entry_after

    def sync(self) -> None:
        """Do nothing: `apply_entry` has saved all. Celery calls this inside `apply_entry` too."""

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Save the run of an entry and publish its task: both, or neither.

        Celery's method, which Sentry wraps, logs every error of `apply_async` and raises none.
        """
        with transaction.atomic():
            set_idle_timeout()
            if not self.candidate.renew():
                raise LostLeadershipError
            if entry.save():
                super().apply_entry(entry, producer=producer)
            outage, self.outage = self.outage, None
            if outage:
                raise outage

    def apply_async(self, entry: Any, *args: Any, **kwargs: Any) -> Any:
        """Publish; store an outage for `apply_entry`, and raise an error of the entry itself."""
        try:
            return super().apply_async(entry, *args, **kwargs)
        except SchedulingError as error:
            if not isinstance(error.__context__, BROKER_ERRORS + DATABASE_ERRORS):
                raise
            self.outage = error.__context__
            return None
