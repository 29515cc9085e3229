"""What the page of one task or mail shows."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from durable.mail.models import Email
from durable.tasks.canvas import as_list, task_names
from durable.tasks.models import TaskRun

MAX_EVENTS = 100
MAX_LINKS = 50


@dataclass(frozen=True)
class Event:
    """Something that happened, or will."""

    at: datetime
    text: str
    detail: str = ""


def of_task(run: TaskRun, state: str) -> dict[str, Any]:
    """Return the variables of a task's page."""
    replay = TaskRun.objects.filter(replay_of=run).only("pk").first()
    return {
        "repeated": bool(replay),
        "events": sorted(task_events(run, state), key=lambda event: event.at),
        "arguments": json.dumps(run.shown_arguments, indent=2, ensure_ascii=False),
        "followers": followers(run.options),
        "replay": replay,
    }


def task_events(run: TaskRun, state: str) -> Iterator[Event]:
    """Yield what is known of a task's attempts: a row has the times of the first and the last."""
    yield Event(run.queued_at, "queued")
    if run.first_failed_at and run.first_failed_at != run.finished_at:
        yield Event(run.first_failed_at, "first failure")
    if run.started_at:
        yield Event(run.started_at, f"attempt {run.attempts} started", run.worker)
    if run.status == TaskRun.Status.QUEUED:
        yield Event(run.next_attempt_at, "due", run.last_error if run.first_failed_at else "")
    if run.finished_at:
        yield Event(run.finished_at, state, run.last_error)


def followers(options: dict[str, Any]) -> list[tuple[str, str]]:
    """Return how and which tasks follow a task, in their order."""
    # Celery keeps a chain reversed: its next link is the last.
    chain = [("then", link) for link in reversed(as_list(options.get("chain")))]
    links = [("on success", link) for link in as_list(options.get("link"))]
    errors = [("on failure", link) for link in as_list(options.get("link_error"))]
    return [(how, names_of(link)) for how, link in (*chain, *links, *errors)][:MAX_LINKS]


def names_of(signature: Any) -> str:
    """Return the names of the tasks in a signature; a plain task's failure may hold one of any form."""
    try:
        return ", ".join(map(str, task_names(signature)))
    except (AttributeError, KeyError, TypeError):
        return "unreadable"


def of_mail(email: Email) -> dict[str, Any]:
    """Return the variables of a mail's page."""
    newest = email.events.order_by("-happened_at", "-id")[:MAX_EVENTS]
    happened = [
        Event(
            event.happened_at,
            event.get_kind_display() + (f", attempt {event.attempt}" if event.attempt else ""),
            event.detail,
        )
        for event in reversed(newest)
    ]
    copies = list(Email.objects.filter(resend_of=email).only("pk")[:MAX_LINKS])
    return {
        "repeated": bool(copies),
        "events": [Event(email.queued_at, "queued"), *happened],
        "related": email.related if email.related_type_id else None,
        "copies": copies,
    }
