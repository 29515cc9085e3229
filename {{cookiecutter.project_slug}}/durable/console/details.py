"""What the page of one task or email shows."""

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any

from django.apps import apps
from django.core.exceptions import ValidationError
from django.urls import NoReverseMatch, reverse

from durable.conf import conf
from durable.mail.models import Email
from durable.tasks.canvas import as_list, task_names
from durable.tasks.enqueue import row_id
from durable.tasks.models import TaskRun
from durable.tasks.results import COLUMNS, state_of

MAX_EVENTS = 100
MAX_LINKS = 50
MAX_CAUSED = 20  # of each kind


@dataclass(frozen=True)
class Event:
    """Something that happened, or will."""

    at: datetime
    text: str
    detail: str = ""


def of_task(run: TaskRun, state: str) -> dict[str, Any]:
    """Return the variables of a task's page."""
    replay = TaskRun.objects.filter(replay_of=run).only("pk").first()
    parent = known_keys([run.options.get("parent_id")])
    return {
        "repeated": bool(replay),
        "events": sorted(task_events(run, state), key=lambda event: event.at),
        "arguments": json.dumps(run.shown_arguments, indent=2, ensure_ascii=False),
        "followers": followers(run.options),
        "before": next(iter(parent), None),
        "replay": replay,
        "related": None,
        **correlated(run),
    }


def correlated(row: TaskRun | Email) -> dict[str, Any]:
    """Return the other work of the same request, MAX_CAUSED of each kind."""
    if not row.correlation_id:
        return {}
    same = {"correlation_id": row.correlation_id}
    tasks = TaskRun.objects.filter(**same).exclude(pk=row.pk).only("name", *COLUMNS)
    emails = Email.objects.filter(**same).exclude(pk=row.pk).only("template", "to", "status")
    others = [apps.get_model(label) for label in conf.CORRELATED_MODELS]
    return {
        "same_tasks": [(task, state_of(task)) for task in tasks[:MAX_CAUSED]],
        "same_emails": emails[:MAX_CAUSED],
        "same_others": [
            other for model in others for other in described(model.objects.filter(**same))
        ],
    }


def described(rows: Any) -> list[tuple[str, str]]:
    """Return the kind of each of some rows, and its page in the admin, which has its own permissions."""
    meta = rows.model._meta
    url = f"admin:{meta.app_label}_{meta.model_name}_change"
    keys = list(rows.values_list("pk", flat=True)[:MAX_CAUSED])
    found = []
    for pk in keys:
        with suppress(NoReverseMatch):  # no admin
            found.append((f"{meta.verbose_name} {pk}", reverse(url, args=[pk])))
    return found


def known_keys(task_ids: Iterable[Any]) -> set[Any]:
    """Return the keys of those tasks that have a row, from MAX_LINKS ids of any form."""
    keys = [row_id(str(task_id)) for task_id in task_ids if task_id][:MAX_LINKS]
    return set(TaskRun.objects.filter(pk__in=keys).values_list("pk", flat=True)) if keys else set()


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


def followers(options: dict[str, Any]) -> list[tuple[str, str, Any]]:
    """Return how and which tasks follow a task, in their order, and the key of the row if it exists."""
    # Celery keeps a chain reversed: its next link is the last.
    chain = [("then", link) for link in reversed(as_list(options.get("chain")))]
    links = [("on success", link) for link in as_list(options.get("link"))]
    errors = [("on failure", link) for link in as_list(options.get("link_error"))]
    found = [*chain, *links, *errors][:MAX_LINKS]
    known = known_keys(map(id_of, map(itemgetter(1), found)))
    return [
        (how, names_of(link), key if (key := row_id(str(id_of(link)))) in known else None)
        for how, link in found
    ]


def id_of(signature: Any) -> Any:
    """Return the id that the task of a signature has, or will have."""
    try:
        return signature["options"]["task_id"]
    except (KeyError, TypeError):
        return None


def names_of(signature: Any) -> str:
    """Return the names of the tasks in a signature; a plain task's failure may hold one of any form."""
    try:
        return ", ".join(map(str, task_names(signature)))
    except (AttributeError, KeyError, TypeError):
        return "unreadable"


def of_email(email: Email) -> dict[str, Any]:
    """Return the variables of an email's page."""
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
        "related": related_object(email),
        "related_url": related_url(email),
        "copies": copies,
        **correlated(email),
    }


def related_object(email: Email) -> Any:
    """Return the object that an email is about; None if there is none, or none any more."""
    try:
        return email.related if email.related_type_id else None
    except (AttributeError, TypeError, ValueError, ValidationError):  # its model or key has changed
        return None


def related_url(email: Email) -> str:
    """Return the page of the object that an email is about, in the admin; empty if there is none."""
    if not email.related_type:
        return ""
    name = f"admin:{email.related_type.app_label}_{email.related_type.model}_change"
    try:
        return reverse(name, args=[email.related_id])
    except NoReverseMatch:
        return ""
