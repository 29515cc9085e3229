"""Tasks that the leading Beat runs itself: those of a task class with `runs_in_beat = True`.

A sweep repairs queues, so it must not wait in one, and no worker with a wrong clock may revoke it. Each
run has a thread of its own: while the broker or the database hangs, Beat keeps its lease.
"""

import json
import time
from collections.abc import Container
from threading import Thread
from typing import Any

import structlog
from celery import states
from django.db import connections
from django_celery_results.models import TaskResult

from durable import sentry
from durable.text import clean_text, describe_error

logger = structlog.get_logger(__name__)

STOP_TIMEOUT = 2.0  # seconds; a thread that takes longer ends with the process
MAX_DURATION = 60.0  # seconds; sweeps are due every minute


class Run(Thread):
    """One run of a task in this process."""

    def __init__(self, entry: Any, worker: str) -> None:
        super().__init__(name=f"beat-{entry.name}", daemon=True)
        self.entry, self.worker = entry, worker
        self.started = time.monotonic()
        self.error = ""

    def run(self) -> None:
        """Run the task, and store its outcome."""
        task = self.entry.app.tasks[self.entry.task]
        try:
            with sentry.check_in(self.entry.name, self.entry.schedule):
                result = task(*self.entry.args, **self.entry.kwargs)
            self.store(states.SUCCESS, result)
        except Exception as error:
            self.error = describe_error(error)
            logger.exception("beat_task_failed", entry=self.entry.name, task=self.entry.task)
            self.store_failure()
        finally:
            connections.close_all()

    def store(self, status: str, result: object) -> None:
        """Store the outcome where the admin shows results of tasks: one row for each entry."""
        outcome = {
            "status": status,
            "result": clean_text(json.dumps(result, default=repr)),
            "content_type": "application/json",
            "content_encoding": "utf-8",
            "periodic_task_name": self.entry.name,
            "task_name": self.entry.task,
            "worker": self.worker,
        }
        TaskResult.objects.update_or_create(task_id=f"beat: {self.entry.name}", defaults=outcome)

    def store_failure(self) -> None:
        """Store the error, unless the database is what failed."""
        try:
            self.store(states.FAILURE, self.error)
        except Exception as error:  # noqa: BLE001 - it is logged, and the next run comes soon
            logger.warning("beat_task_not_recorded", entry=self.entry.name, error=str(error))

    def problem(self) -> str:
        """Return what is wrong with this run, or an empty string."""
        seconds = time.monotonic() - self.started
        if self.is_alive() and seconds > MAX_DURATION:
            return f"{self.entry.name!r} has been running for {seconds:.0f} s"
        return self.error and f"{self.entry.name!r} failed: {self.error}"


class Sweeps:
    """The last run of each entry whose task runs in Beat.

    Args:
        worker: the name of this Beat, for people.
    """

    def __init__(self, worker: str) -> None:
        self.worker = worker
        self.runs: dict[str, Run] = {}

    def start(self, entry: Any) -> None:
        """Start a run, unless the last one of this entry has not ended."""
        last = self.runs.get(entry.name)
        if last and last.is_alive():
            logger.warning("beat_task_still_running", entry=entry.name, task=entry.task)
            return
        self.runs[entry.name] = Run(entry, self.worker)
        self.runs[entry.name].start()

    def forget_others(self, entries: Container[str]) -> None:
        """Forget the runs of entries that no longer exist."""
        self.runs = {name: run for name, run in self.runs.items() if name in entries}

    def problem(self) -> str:
        """Return what is wrong with a run, or an empty string."""
        return next(filter(None, (run.problem() for run in self.runs.values())), "")

    def wait(self) -> None:
        """Give runs a moment to end."""
        for run in self.runs.values():
            run.join(STOP_TIMEOUT)
