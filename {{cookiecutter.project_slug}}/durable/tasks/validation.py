"""What a call of a task may be given. A mistake is refused where it is made, not in a worker."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from celery.utils.time import maybe_make_aware
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils import timezone

from durable.conf import conf
from durable.errors import ArgumentsTooLargeError
from durable.text import dump_json

# Bytes of JSON. Redis holds every waiting message in memory; pass an id instead of what is larger.
MAX_ARGUMENTS_SIZE = 256 * 1024


def validate_arguments(task: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Check the arguments of a plain task.

    Raises:
        TypeError: a model instance, which would be stale by the time the task runs.
        ArgumentsTooLargeError: they take more than MAX_ARGUMENTS_SIZE bytes.
    """
    for argument in (*args, *kwargs.values()):
        if isinstance(argument, models.Model):
            kind = type(argument).__name__
            raise TypeError(
                f"{task}: the argument {argument!r} is a {kind} instance: "
                f"pass its id and load the {kind} inside the task"
            )
    validate_size(task, json.dumps([args, kwargs], cls=DjangoJSONEncoder, default=repr))


def validate_size(task: str, text: str) -> None:
    """Raise ArgumentsTooLargeError for JSON of more than MAX_ARGUMENTS_SIZE bytes."""
    if len(text) > MAX_ARGUMENTS_SIZE:
        raise ArgumentsTooLargeError(
            f"{task}: the arguments take {len(text):,} bytes, and {MAX_ARGUMENTS_SIZE:,} are "
            "allowed: save what is large and pass its id"
        )


def to_stored_arguments(
    task: str, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments of a durable task as its row gives them back.

    Raises:
        TypeError: one of them is no JSON. A date would come back as a text.
        ValueError: JSON that the database cannot hold, such as NaN.
        ArgumentsTooLargeError: as `validate_arguments`.
    """
    text = dump_json(task, [list(args), dict(kwargs)])
    validate_size(task, text)
    stored: tuple[list[Any], dict[str, Any]] = tuple(json.loads(text))
    return stored


def delay_until(start: datetime | float | None) -> timedelta:
    """Return how long it is until a start.

    Args:
        start: a time, or seconds from now, or None for now. As in Celery, a time without a zone is in
            UTC.
    """
    if isinstance(start, datetime):
        return max(maybe_make_aware(start) - timezone.now(), timedelta(0))
    return timedelta(seconds=start or 0)


def validate_start(task: Any, delay: timedelta) -> None:
    """Raise ValueError for a start of a plain task that Redis might deliver twice.

    A task that waits in a worker is as unacknowledged as one that runs there. The longest pause before
    a retry always fits: see VISIBILITY_TIMEOUT in config/queues.py.
    """
    fitting = conf.visibility_timeout - (task.time_limit or 0) - conf.TASK_LIMIT_MARGIN
    pause = conf.TASK_RETRY_MAX_DELAY + conf.TASK_RETRY_MARGIN.total_seconds()
    longest = max(fitting, pause)
    if delay.total_seconds() > longest:
        raise ValueError(
            f"{task.name}: a start in {timedelta(seconds=round(delay.total_seconds()))} is too far "
            f"away: the longest is {timedelta(seconds=round(longest))}, which fits into the broker's "
            "visibility time-out; after that Redis delivers the task again: make it a DurableTask, "
            "then the start is a column of its row"
        )
