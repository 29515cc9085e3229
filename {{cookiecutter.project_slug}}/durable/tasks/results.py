"""The state and the outcome of a task, by its id.

Celery asks its result backend, which knows a task only if its result is stored. A durable task, and any
task that failed, has a row.
"""

from typing import Any

from celery import current_app, states
from celery.exceptions import TaskRevokedError
from django.utils import timezone
from django_celery_results.backends.database import DatabaseBackend

from durable.errors import TaskFailedError
from durable.requeue import purge
from durable.tasks.enqueue import row_id
from durable.tasks.models import TaskRun
from durable.text import clean_text

UNKNOWN = "unknown"
# What Celery calls a state, and what this project does.
CELERY_STATES = {
    "scheduled": states.PENDING,
    "queued": states.PENDING,
    "running": states.STARTED,
    "retrying": states.RETRY,
    "done": states.SUCCESS,
    "failed": states.FAILURE,
    "canceled": states.REVOKED,
}
STATES_OF_RESULTS = {
    states.STARTED: "running",
    states.RETRY: "retrying",
    states.SUCCESS: "done",
    states.FAILURE: "failed",
    states.REVOKED: "canceled",
}
COLUMNS = ("status", "error_type", "last_error", "traceback", "first_failed_at", "next_attempt_at")


def state_of(run: TaskRun) -> str:
    """Return the state of a row; see `get_state`."""
    if run.status == TaskRun.Status.QUEUED:
        if run.first_failed_at:
            return "retrying"
        return "scheduled" if run.next_attempt_at > timezone.now() else "queued"
    if run.status == TaskRun.Status.FAILED and run.error_type == TaskRevokedError.__name__:
        return "canceled"
    return str(run.status)


def find_run(task_id: str) -> TaskRun | None:
    """Return what the row of a task says about its outcome, if it has a row."""
    return TaskRun.objects.filter(pk=row_id(task_id)).only(*COLUMNS).first()


def get_state(task_id: str) -> str:
    """Return the state of a task.

    Args:
        task_id: the id that `apply_async` or `delay` returned.

    Returns:
        "scheduled", "queued", "running", "retrying", "done", "failed" or "canceled"; "unknown" for a
        plain task that has stored no result (yet), and for an id that no task has (any more).
    """
    task_id = clean_text(task_id)
    if run := find_run(task_id):
        return state_of(run)
    return STATES_OF_RESULTS.get(current_app.AsyncResult(task_id).state, UNKNOWN)


class Backend(DatabaseBackend):  # type: ignore[misc]
    """django-celery-results' backend, which also knows tasks by their rows.

    So `AsyncResult(task_id).state` and `.get(timeout=…)` answer for durable tasks. `get` returns None if
    the task stores no result, and raises TaskFailedError if it failed.
    """

    def cleanup(self) -> None:
        """Delete expired results, and log how many."""
        if not self.expires:
            return
        for model in (self.TaskModel, self.GroupModel):
            purge(model._default_manager.get_all_expired(self.expires).order_by("date_done"))

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        meta: dict[str, Any] = super()._get_task_meta_for(task_id)
        if meta["status"] in states.READY_STATES:
            return meta
        run = find_run(task_id)
        return meta | outcome_of(run) if run else meta


def outcome_of(run: TaskRun) -> dict[str, Any]:
    """Return what Celery wants to know about a row."""
    status = CELERY_STATES[state_of(run)]
    if status == states.FAILURE:
        return {
            "status": status,
            "result": TaskFailedError(run.last_error),
            "traceback": run.traceback,
        }
    if status == states.REVOKED:
        return {"status": status, "result": TaskRevokedError(run.last_error)}
    return {"status": status}
