"""What a task may be given, and what is kept or shown of it."""

import inspect
import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import chain, repeat
from typing import Any

from celery import current_app
from celery.utils.saferepr import saferepr
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

# Bytes of JSON. Redis holds every waiting message in memory, and whoever needs more can pass an id.
LARGEST = 256 * 1024
SECRET = re.compile(
    r"password|passwd|secret|token|api_?key|authorization|credential", re.IGNORECASE
)
MASKED = "********"
SIGNATURE = {"task", "args", "kwargs", "options", "immutable"}  # what each of Celery's has


class ArgumentsTooLargeError(ValueError):
    """The arguments of a task are larger than a message should be."""


def refuse_model_instances(task: str, arguments: Sequence[Any]) -> None:
    """Raise TypeError for a model instance: by the time the task runs, it would be stale."""
    for argument in arguments:
        if isinstance(argument, models.Model):
            kind = type(argument).__name__
            raise TypeError(
                f"{task}: the argument {argument!r} is a {kind} instance: "
                f"pass its id and load the {kind} inside the task"
            )


def refuse_large(task: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Raise ArgumentsTooLargeError for arguments of more than LARGEST bytes."""
    size = len(json.dumps([args, kwargs], cls=DjangoJSONEncoder, default=repr))
    if size > LARGEST:
        raise ArgumentsTooLargeError(
            f"{task}: the arguments take {size:,} bytes, and {LARGEST:,} are allowed: "
            "save what is large and pass its id"
        )


def as_json(task: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[list[Any], Any]:
    """Return the arguments of a durable task as its row keeps them.

    Raises:
        TypeError: one of them is nothing that JSON knows; a row gives back what JSON does, so a
            date would come back as a text.
    """
    try:
        kept = json.loads(json.dumps([list(args), dict(kwargs)]))
    except TypeError as error:
        raise TypeError(f"{task}: {error}: pass ids, texts and numbers") from None
    return kept[0], kept[1]


def masked(value: Any) -> Any:
    """Return `value` as JSON can hold it, with everything under a secret's name hidden."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, dict):
        if value.keys() >= SIGNATURE:
            # What follows a task gets its result first, unless it is immutable.
            before = 0 if value["immutable"] else 1
            value = {**value, "args": masked_args(str(value["task"]), value["args"], before)}
        return {
            str(key): MASKED if SECRET.search(str(key)) else masked(item)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [masked(item) for item in value]
    if isinstance(value, str):
        return printable(value)
    return json.loads(json.dumps(value, cls=DjangoJSONEncoder, default=repr))


def printable(text: str) -> str:
    """Return a text without NUL, which PostgreSQL keeps neither in texts nor in JSON."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}")


def masked_args(task: str, args: Any, before: int = 0) -> Any:
    """Return positional arguments as `masked` does; here a secret's name is its parameter's.

    Args:
        task: the name of the task; one that is not known here has no names for its arguments.
        args: the arguments.
        before: how many others come before them.
    """
    if not isinstance(args, (list, tuple)):
        return masked(args)
    run = getattr(task_named(task), "run", None)
    names = chain(parameters(run)[before:] if run else (), repeat(""))
    return [
        MASKED if SECRET.search(name) else masked(item)
        for name, item in zip(names, args, strict=False)
    ]


def task_named(name: str) -> Any:
    """Return the task of this name, or None if there is none."""
    if name not in current_app.tasks:
        load_all_tasks()
    return current_app.tasks.get(name)


@cache
def load_all_tasks() -> None:
    """Load all tasks of the service, once: outside of workers, only those are there that are called."""
    current_app.loader.import_default_modules()


@cache
def parameters(run: Callable[..., Any]) -> list[str]:
    """Return the names of what a function takes by position."""
    by_position = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    taken = inspect.signature(run).parameters.values()
    return [parameter.name for parameter in taken if parameter.kind in by_position]


def masked_arguments(task: str, args: Any, kwargs: Any) -> dict[str, Any]:
    """Return the arguments of the task of this name for people: no secrets."""
    return {"args": masked_args(task, args), "kwargs": masked(kwargs)}


def told_arguments(task: str, args: Any, kwargs: Any) -> dict[str, str]:
    """Return what a message tells of its arguments, which Celery keeps with the task's result.

    Celery would write down the same, as short, with secrets.
    """
    shown, amqp = masked_arguments(task, args, kwargs), current_app.amqp
    levels = current_app.conf.task_repr_maxlevels
    return {
        "argsrepr": saferepr(tuple(shown["args"]), amqp.argsrepr_maxsize, levels),
        "kwargsrepr": saferepr(shown["kwargs"], amqp.kwargsrepr_maxsize, levels),
    }


def kept_arguments(task: str, args: Any, kwargs: Any) -> dict[str, Any]:
    """Return what a dead letter keeps of arguments: no secrets, and nothing that is too large."""
    kept = masked_arguments(task, args or [], kwargs or {})
    size = len(json.dumps(kept))
    if size > LARGEST:
        return {"args": [f"{size:,} bytes, not kept"], "kwargs": {}}
    return kept
