"""What a call of a task may be given. A mistake is refused where it is made, not in a worker."""

import inspect
import json
import math
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from datetime import datetime, timedelta
from types import NoneType
from typing import Any

from celery import current_app
from celery.utils.time import maybe_make_aware
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils import timezone

from durable.conf import conf
from durable.errors import ArgumentsTooLargeError
from durable.text import dump_json

# Bytes of JSON. Redis holds every waiting message in memory; pass an id instead of what is larger.
MAX_ARGUMENTS_SIZE = 256 * 1024
MAX_DELAY = timedelta(
    days=3650
)  # ten years; a date beyond the year 9999 would break the transaction
# Options of Celery that a durable task cannot keep: its message carries only the id of its row.
NOT_DURABLE = {
    "acks_late": "the row decides when it is done",
    "compression": "its message is empty",
    "exchange": "give a queue",
    "expire_seconds": "it does not expire",
    "expires": "it does not expire",
    "priority": "give it a queue of its own",
    "routing_key": "give a queue",
    "runs_in_beat": "a worker runs it",
}
RETURNS_LATER = (
    "returns before its work is done: wrap it in a plain function, for example with asyncio.run"
)


def validate_declaration(task: type) -> None:
    """Check the class that `@shared_task` makes.

    Raises:
        TypeError: its function is a coroutine or a generator, or an option does not fit a durable
            task.
    """
    declared = vars(task)
    if returns_later(declared.get("run")):
        raise TypeError(
            f"{declared.get('name') or task.__name__}: an async def or generator {RETURNS_LATER}"
        )
    if "abstract" in declared:
        return
    name = declared.get("name") or task.__name__
    if declared.get("durable"):
        raise TypeError(f"{name}: use base=DurableTask instead of durable=True")
    validate_options(name, declared, durable=getattr(task, "durable", False))


def returns_later(function: Any) -> bool:
    """Whether a call returns before the work is done; of a partial, the inner function decides."""
    function = getattr(function, "__func__", function)  # Celery makes it a staticmethod
    return (
        inspect.iscoroutinefunction(function)
        or inspect.isgeneratorfunction(function)
        or inspect.isasyncgenfunction(function)
    )


def validate_result(task: str, result: Any) -> Any:
    """Return what a task returned.

    Raises:
        TypeError: it is a coroutine or a generator, so nothing has run. A decorator may hide one.
    """
    if inspect.isawaitable(result) or isinstance(result, (AsyncGenerator, Generator)):
        if close := getattr(result, "close", None):
            close()
        raise TypeError(f"{task}: its function {RETURNS_LATER}")
    return result


def validate_options(task: str, options: Mapping[str, Any], *, durable: bool) -> None:
    """Raise ValueError for an option that would be ignored, or that every worker would refuse."""
    for name, reason in NOT_DURABLE.items() if durable else ():
        if options.get(name) is not None:
            raise ValueError(f"{task}: a durable task has no `{name}`: {reason}")
    if options.get("serializer") not in {None, "json"}:
        raise ValueError(f"{task}: serializer {options['serializer']!r}: workers accept JSON only")


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
    try:
        text = json.dumps([args, kwargs], cls=DjangoJSONEncoder, default=repr)
    except (RecursionError, ValueError) as error:
        raise ValueError(f"{task}: {error}: pass ids, texts and numbers") from None
    validate_size(task, text)


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
    """Return how long it is until a start; none for a time in the past.

    Args:
        start: a time, or seconds from now, or None for now; see `with_zone`.

    Raises:
        TypeError: it is neither.
        ValueError: it is NaN, infinite, or more than MAX_DELAY away.
    """
    if isinstance(start, bool) or not isinstance(start, (datetime, int, float, NoneType)):
        raise TypeError(f"a start of {start!r}: give a datetime as eta, or seconds as countdown")
    if isinstance(start, datetime):
        delay = with_zone(start) - timezone.now()
    elif not math.isfinite(start or 0) or abs(start or 0) > MAX_DELAY.total_seconds():
        raise ValueError(f"a start in {start} seconds: the longest is {MAX_DELAY.days} days")
    else:
        delay = timedelta(seconds=start or 0)
    if delay > MAX_DELAY:
        raise ValueError(f"a start at {start}: the longest delay is {MAX_DELAY.days} days")
    return max(delay, timedelta(0))


def with_zone(start: datetime) -> datetime:
    """Return a time with a zone; one without is in CELERY_TIMEZONE, as people write it.

    A worker of Celery 5.7 would read it as UTC.
    """
    return maybe_make_aware(start, current_app.timezone, naive_as_utc=False)


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
            f"{task.name}: a delay of {timedelta(seconds=round(delay.total_seconds()))} is too long"
            f": the longest is {timedelta(seconds=round(longest))}, which fits into the broker's "
            "visibility time-out; after that Redis delivers the task again: make it a DurableTask, "
            "whose row stores the start time"
        )
