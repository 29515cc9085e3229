"""The page of the periodic tasks, and what people do to them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from django_celery_beat.models import PeriodicTask

from durable.beat import operate
from durable.beat.entries import find_problem
from durable.console import periodic
from durable.console.access import ProblemError, console_page, may, need
from durable.console.audit import record
from durable.console.finished import OUTCOMES, finished_tasks
from durable.console.models import AuditEntry
from durable.errors import DATABASE_ERRORS

KIND = "periodic task"
RUN_INTERVAL = timedelta(seconds=10)  # two people who press "Run now" together mean one run


@require_safe
@never_cache
@console_page
def index(request: HttpRequest) -> HttpResponse:
    """List the periodic tasks, the disabled ones too."""
    context = {
        "leader": periodic.leader(),
        "entries": periodic.entries(finished_tasks(OUTCOMES), disabled=True),
        "may_change": may(request.user, "change_schedule"),
    }
    return render(request, "console/periodic.html", context)


@require_POST
@console_page
def act(request: HttpRequest, pk: int, action: str) -> HttpResponse:
    """Run, enable or disable a periodic task."""
    need(request.user, "change_schedule")
    if action not in ACTIONS:
        raise ProblemError(400, "There is no such action", f"{KIND}: {action[:50]!r}")
    with transaction.atomic():
        row = locked(pk)
        changed, text = ACTIONS[action](row)
        record(request.user, action, KIND, target=row.name, count=int(changed))
    messages.add_message(request, messages.SUCCESS if changed else messages.WARNING, text)
    return redirect("console:periodic")


def locked(pk: int) -> Any:
    """Return a row that nobody else changes meanwhile, or raise ProblemError."""
    try:
        row = PeriodicTask.objects.select_for_update().filter(pk=pk).first()
    except DATABASE_ERRORS:
        raise
    except Exception:  # noqa: BLE001 - a value that its field refuses; see durable/beat/rows.py
        raise ProblemError(400, "This periodic task cannot be read", "Correct its row.") from None
    if row is None:
        raise ProblemError(404, "There is no such periodic task", "It was deleted meanwhile.")
    return row


def run_now(row: Any) -> tuple[bool, str]:
    """Publish the task, unless another user did a moment ago."""
    recent = AuditEntry.objects.filter(
        at__gt=Now() - RUN_INTERVAL,
        action=AuditEntry.Action.RUN,
        kind=KIND,
        target=row.name,
        count=1,
    ).first()
    if recent:
        return False, f"{row.name} was started by {recent.user_text} a moment ago."
    if problem := find_problem(row) or operate.publish(row):
        return False, f"{row.name} was not started: {problem}."
    return True, f"{row.name} is published."


def enable(row: Any) -> tuple[bool, str]:
    """Enable the row, if Beat can run it."""
    if problem := find_problem(row):
        return False, f"{row.name} cannot run: {problem}."
    changed = operate.enable(row)
    return changed, f"{row.name} {'is enabled' if changed else 'was enabled already'}."


def disable(row: Any) -> tuple[bool, str]:
    """Disable the row."""
    changed = operate.disable(row)
    return changed, f"{row.name} {'is disabled' if changed else 'was disabled already'}."


ACTIONS: dict[str, Callable[[Any], tuple[bool, str]]] = {
    "run": run_now,
    "enable": enable,
    "disable": disable,
}
