"""The states of work as people name them, and how an index finds the rows of each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from celery.exceptions import TaskRevokedError
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from durable.mail.models import Email
from durable.tasks.models import TaskRun

WINDOW = 10_000  # rows that a filter without an index searches; each may lie on another page of the table


@dataclass(frozen=True)
class State:
    """Rows of one state.

    Args:
        found: the part of the state's condition that an index finds, in the order of `order`.
        order: the field that lists the rows, newest or most urgent first.
        time: the field that `since` and `until` compare.
        rest: the part that is compared row by row.
    """

    found: Q
    order: str
    time: str
    rest: Q = field(default_factory=Q)


WAITS, REVOKED = "next_attempt_at", Q(error_type=TaskRevokedError.__name__)
RETRIED = Q(first_failed_at__isnull=False)
TASK = TaskRun.Status
TASK_STATES: Mapping[str, State] = {
    "": State(Q(), "-queued_at", "queued_at"),
    "scheduled": State(Q(status=TASK.QUEUED, next_attempt_at__gt=Now()), WAITS, WAITS, ~RETRIED),
    "queued": State(Q(status=TASK.QUEUED, next_attempt_at__lte=Now()), WAITS, WAITS, ~RETRIED),
    "retrying": State(Q(status=TASK.QUEUED), WAITS, WAITS, RETRIED),
    "running": State(Q(status=TASK.RUNNING), "lease_until", "started_at"),
    "done": State(Q(status=TASK.DONE), "-finished_at", "finished_at"),
    "failed": State(Q(status=TASK.FAILED), "-finished_at", "finished_at", ~REVOKED),
    "canceled": State(Q(status=TASK.FAILED), "-finished_at", "finished_at", REVOKED),
}
MAIL = Email.Status
EMAIL_STATES: Mapping[str, State] = {
    "": State(Q(), "-queued_at", "queued_at"),
    "queued": State(Q(status=MAIL.QUEUED), WAITS, WAITS, Q(attempts=0)),
    "retrying": State(Q(status=MAIL.QUEUED), WAITS, WAITS, Q(attempts__gt=0)),
    "sending": State(Q(status=MAIL.SENDING), "lease_until", "started_at"),
    **{
        status.value: State(Q(status=status), "-queued_at", "queued_at")
        for status in MAIL
        if status not in Email.UNFINISHED
    },
}


def email_state(email: Email) -> str:
    """Return the state of an email."""
    return "retrying" if email.status == MAIL.QUEUED and email.attempts else str(email.status)


def search(
    rows: QuerySet[Any], state: State, indexed: Q, compared: Q
) -> tuple[QuerySet[Any], bool]:
    """Return the rows of a state that match, and whether there are more than were looked through.

    Args:
        rows: of the whole table.
        state: which of them.
        indexed: a condition that an index finds, alone or with the state's.
        compared: a condition that is compared row by row, among the first WINDOW rows only.
    """
    found = rows.filter(state.found & indexed).order_by(state.order)
    column = state.order.removeprefix("-")
    last = next(iter(found.values_list(column, flat=True)[WINDOW : WINDOW + 1]), None)
    if last is not None:
        side = "gte" if state.order.startswith("-") else "lte"
        found = found.filter(**{f"{column}__{side}": last})
    return found.filter(state.rest & compared), last is not None
