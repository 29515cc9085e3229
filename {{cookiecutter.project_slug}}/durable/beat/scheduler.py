"""Beat's scheduler: the schedule that is declared in code, kept in the database.

Any number of Beats may run. The one that holds the lease in `BeatLeader` fires; the others look
every second whether it still does. What was fired is saved in the transaction that publishes, so
whoever takes over reads from the database what is due.
"""

import os
import signal
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import structlog
from celery.beat import SchedulingError
from django.db import Error as DatabaseError
from django.db import InterfaceError, close_old_connections, connection, transaction
from django.db import OperationalError as DatabaseUnreachable
from django.db.models import F
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler, ModelEntry
from kombu.exceptions import OperationalError as BrokerUnreachable

from durable import heartbeat
from durable.conf import conf
from durable.tasks.models import BeatLeader

DECLARED = "Declared in config/schedule.py; changes of the time made here are overwritten."
# What is no fault of the entry that was to be published, and passes.
OUTAGES = (BrokerUnreachable, DatabaseUnreachable, InterfaceError)

logger = structlog.get_logger(__name__)


class LeadLostError(Exception):
    """Another Beat has become the leader."""


@contextmanager
def stop_signals_wait() -> Iterator[None]:
    """Let SIGTERM and SIGINT wait.

    Celery's handler closes the scheduler at once. In the middle of a query, the connection's lock
    would make it wait for itself; between publishing and saving, a task would be published twice.
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
        for late in received:
            signal.raise_signal(late)


def end_transaction_when_idle() -> None:
    """Let PostgreSQL end this transaction if its machine is gone: the next leader waits for it."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('idle_in_transaction_session_timeout', %s, true)",
                [f"{conf.BEAT_LEASE.total_seconds():g}s"],
            )


class DeclaredEntry(ModelEntry):  # type: ignore[misc]
    """An entry that writes only what firing it changes, so an operator's edit meanwhile holds."""

    def save(self) -> bool:
        """Save that it was fired; False if it has just been disabled or deleted."""
        row = PeriodicTask.objects.filter(pk=self.model.pk, enabled=True)
        fired = {field: getattr(self.model, field) for field in ("last_run_at", "total_run_count")}
        return bool(row.update(**fired) == 1)


class DeclaredScheduler(DatabaseScheduler):  # type: ignore[misc]
    """django-celery-beat's scheduler, for several Beats, which forgets what the code forgot.

    A row that an operator made does not carry the mark and is left alone. Disabling a declared
    row in the admin holds.
    """

    Entry = DeclaredEntry
    # A task takes a connection from the app's pool, which gives up at once when the broker is away.
    # Celery's own producer would try for ever, and the lease would run out meanwhile.
    producer = None
    max_interval: float

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.token = uuid.uuid4()
        self.holder = f"{socket.gethostname()} {os.getpid()}"
        self.leads = False
        self.leader = ""
        self.outage: Exception | None = None
        super().__init__(*args, **kwargs)
        self.max_interval = min(self.max_interval, conf.BEAT_LEASE.total_seconds() / 3)

    def setup_schedule(self) -> None:
        """Leave the database alone: Beat calls this when it starts, and another may lead."""

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Fire an entry that is due, if this Beat leads, and show that it lives.

        Returns:
            seconds until the next call.
        """
        heartbeat.beat()
        with stop_signals_wait():
            close_old_connections()
            try:
                if self.has_lead():
                    return float(super().tick(*args, **kwargs))
            except LeadLostError:
                self.lose_lead()
            except BrokerUnreachable as error:
                logger.warning("broker_unreachable", error=str(error))
                self.forget()
                return float(self.max_interval)
            except DatabaseError as error:
                logger.warning("database_unreachable", error=str(error))
                self.lose_lead()
                return float(self.max_interval)
            return float(conf.BEAT_FOLLOWER_INTERVAL)

    def has_lead(self) -> bool:
        """Renew the lease, or try to get it."""
        if self.leads and BeatLeader.objects.renew(self.token, conf.BEAT_LEASE):
            return True
        if self.leads:
            self.lose_lead()
        if BeatLeader.objects.take(self.token, self.holder, conf.BEAT_LEASE):
            self.take_lead()
        else:
            self.follow()
        return self.leads

    def take_lead(self) -> None:
        """Bring the database in line with the code and read what the last leader has fired."""
        logger.info("beat_leads", beat=self.holder)
        self.leads, self.leader = True, self.holder
        self.declare()

    def lose_lead(self) -> None:
        """Fire nothing more."""
        if self.leads:
            logger.warning("beat_lost_lead", beat=self.holder)
        self.leads = False
        self.forget()

    def follow(self) -> None:
        """Say once whom this Beat follows."""
        leader = str(BeatLeader.objects.get())
        if leader != self.leader:
            logger.info("beat_follows", beat=self.holder, leader=leader)
        self.leader = leader

    def forget(self) -> None:
        """Read everything from the database again before the next entry is fired."""
        self._heap = None
        self._initial_read = True

    def close(self) -> None:
        """Give the lead back, so that another Beat takes over at once."""
        super().close()
        if self.leads:
            self.leads = False
            with suppress(DatabaseError):  # then the lease runs out
                BeatLeader.objects.release(self.token)
                logger.info("beat_gave_lead_back", beat=self.holder)

    def declare(self) -> None:
        """Bring the database in line with the code."""
        PeriodicTask.objects.filter(description=DECLARED).exclude(
            name__in=self.app.conf.beat_schedule
        ).delete()
        # An entry that has never run counts from `date_changed`, which the lines below renew.
        never_run = PeriodicTask.objects.filter(enabled=True, last_run_at=None, start_time=None)
        never_run.update(last_run_at=F("date_changed"))
        super().setup_schedule()

    def update_from_dict(self, mapping: dict[str, dict[str, Any]]) -> None:
        """Insert or update entries; those that are declared get the mark, Celery's own do not."""
        declared = self.app.conf.beat_schedule
        super().update_from_dict(
            {
                name: {**entry, "description": DECLARED} if name in declared else entry
                for name, entry in mapping.items()
            }
        )

    def enabled_models_qs(self) -> Any:
        """Return all rows that may fire.

        django-celery-beat leaves out those whose hour is far, and with them a daily one that was
        due hours ago, before an outage.
        """
        return self.Model.objects.enabled()

    def reserve(self, entry: Any) -> Any:
        """Return the entry as it is once fired; `apply_entry` saves it.

        django-celery-beat leaves the old one in its schedule, and would fire it again when the
        queue of entries is made anew from it.
        """
        fired = self._schedule[entry.name] = next(entry)
        return fired

    def sync(self) -> None:
        """Do nothing, for nothing is left to save; Celery calls this inside `apply_entry` too."""

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Save that an entry was fired, and publish its task: both, or neither."""
        with transaction.atomic():
            end_transaction_when_idle()
            if not BeatLeader.objects.renew(self.token, conf.BEAT_LEASE):
                raise LeadLostError
            if entry.save():
                super().apply_entry(entry, producer=producer)
            outage, self.outage = self.outage, None
            if outage:
                raise outage

    def apply_async(self, entry: Any, *args: Any, **kwargs: Any) -> Any:
        """Publish; an outage is kept for `apply_entry`, other errors are the entry's own."""
        try:
            return super().apply_async(entry, *args, **kwargs)
        except SchedulingError as error:
            if not isinstance(error.__context__, OUTAGES):
                raise
            self.outage = error.__context__
            return None
