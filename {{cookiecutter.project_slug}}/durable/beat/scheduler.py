"""Beat's scheduler: it copies the schedule in code to the database, and publishes what is due.

Any number of Beats may run; see `durable/beat/leader.py`. The leader saves the run of an entry in
the transaction that publishes its task, so the next leader reads from the database what is due.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from celery.beat import SchedulingError
from django.db import Error as DatabaseError
from django.db import close_old_connections, connection, transaction
from django.db.models import F
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler

from durable import heartbeat
from durable.beat.entries import DeclaredEntry
from durable.beat.leader import Candidate, LostLeadershipError
from durable.beat.rows import Rows
from durable.beat.sweeps import Sweeps
from durable.conf import conf
from durable.errors import BROKER_ERRORS, DATABASE_ERRORS
from durable.tasks.tasks import heartbeat as heartbeat_task
from durable.text import describe_error

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


class DeclaredScheduler(DatabaseScheduler):  # type: ignore[misc]
    """django-celery-beat's scheduler, for several Beats, with a schedule that is declared in code.

    Entries that were removed from the code are removed from the database. Rows that an operator
    created stay, and a declared entry that an operator disabled stays disabled. An entry that cannot
    run is skipped and logged; the others run.
    """

    Entry = DeclaredEntry
    # Tasks then use a connection of the app's pool, which fails at once if the broker is down. Celery's
    # own producer would retry forever, and the lease would expire meanwhile.
    producer = None
    max_interval: float

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.candidate = Candidate()
        self.sweeps = Sweeps(self.candidate.name)
        self.outage: Exception | None = None
        self.trouble = ""  # what went wrong in the last tick
        self.last_tick = 0.0  # seconds, by the clock that can be set
        self.last_heartbeat = time.monotonic()  # when the heartbeat task was published
        self.expects_heartbeat = False  # whether a row says that it must be
        self.rows = Rows()
        super().__init__(*args, **kwargs)
        self.max_interval = min(self.max_interval, conf.BEAT_LEASE.total_seconds() / 3)

    def setup_schedule(self) -> None:
        """Do nothing: Beat calls this when it starts, and another Beat may lead."""

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Publish an entry that is due if this Beat leads, and renew the heartbeat.

        Returns:
            seconds until the next call.
        """
        self.trouble = ""
        with deferred_stop_signals():
            close_old_connections()
            self.notice_clock()
            delay = self.lead_or_follow(*args, **kwargs)
            heartbeat.beat(self.state())
        return delay

    def lead_or_follow(self, *args: Any, **kwargs: Any) -> float:
        """Do as `tick`; an error is logged, and the next tick tries again."""
        try:
            if self.is_leader():
                return float(super().tick(*args, **kwargs))
        except LostLeadershipError:
            self.step_down()
        except BROKER_ERRORS as error:
            logger.warning("broker_unreachable", error=str(error))
            self.trouble = heartbeat.WAITING
            self.reset()
            return float(self.max_interval)
        except DatabaseError as error:
            logger.warning("database_unreachable", error=str(error))
            self.trouble = heartbeat.WAITING_FOR_DATABASE
            self.step_down()
            return float(self.max_interval)
        except Exception as error:
            # If Beat ended, the next one would read the same rows and end, too.
            logger.exception("beat_tick_failed")
            self.trouble = describe_error(error)
            self.reset()
            return float(self.max_interval)
        return float(conf.BEAT_FOLLOWER_INTERVAL)

    def notice_clock(self) -> None:
        """Read the schedule again if the clock was set back: what is due by its old time would wait."""
        now = time.time()
        if now < self.last_tick:
            logger.warning("clock_set_back", seconds=round(self.last_tick - now, 3))
            self.reset()
        self.last_tick = now

    def state(self) -> str:
        """Return RUNNING, or what is wrong: a loop that turns and sends nothing is not well."""
        if self.trouble or not self.candidate.leads:
            return self.trouble or heartbeat.RUNNING
        silence = time.monotonic() - self.last_heartbeat
        if self.expects_heartbeat and silence > conf.HEARTBEAT_MAX_AGE:
            return f"has not sent the heartbeat task for {silence:.0f} s"
        return self.sweeps.problem() or heartbeat.RUNNING

    def is_leader(self) -> bool:
        """Renew the lease, or try to acquire it."""
        if self.candidate.leads:
            if self.candidate.renew():
                return True
            self.step_down()
        if self.candidate.acquire():
            self.last_heartbeat = time.monotonic()
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
        self.sweeps.wait()
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
        self.reset()

    def update_from_dict(self, mapping: dict[str, dict[str, Any]]) -> None:
        """Insert or update entries, and mark those that are declared in code; Celery adds others."""
        declared = self.app.conf.beat_schedule
        super().update_from_dict(
            {
                name: {**entry, "description": DECLARED} if name in declared else entry
                for name, entry in mapping.items()
            }
        )

    def all_as_schedule(self) -> dict[str, DeclaredEntry]:
        """Return the entries that can run."""
        rows = self.rows.read()
        self.expects_heartbeat = any(row.task == heartbeat_task.name for row in rows)
        entries = {entry.name: entry for entry in self.rows.entries(rows, self.app)}
        self.sweeps.forget_others(entries)
        return entries

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

        A task that runs in Beat starts after the run is saved.
        """
        with transaction.atomic():
            set_idle_timeout()
            if not self.candidate.renew():
                raise LostLeadershipError
            saved = entry.save()
            runs_here = getattr(self.app.tasks.get(entry.task), "runs_in_beat", False)
            if saved and not runs_here:
                self.publish(entry, producer)
        if saved and runs_here:
            self.sweeps.start(entry)
        if saved and entry.task == heartbeat_task.name:
            self.last_heartbeat = time.monotonic()

    def publish(self, entry: Any, producer: Any) -> None:
        """Publish the task of an entry, by the method that Sentry wraps; it raises nothing itself."""
        super().apply_entry(entry, producer=producer)
        outage, self.outage = self.outage, None
        if outage:
            raise outage

    def apply_async(self, entry: Any, *args: Any, **kwargs: Any) -> Any:
        """Publish; store an outage for `publish`, and log an error of the entry itself."""
        try:
            return super().apply_async(entry, *args, **kwargs)
        except SchedulingError as error:
            cause = error.__context__
            if isinstance(cause, BROKER_ERRORS + DATABASE_ERRORS):
                self.outage = cause
            else:
                problem = describe_error(cause)
                self.rows.log_problem(entry.name, problem, entry.model.date_changed)
            return None
