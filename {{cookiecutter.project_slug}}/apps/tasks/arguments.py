"""What a task may be given, and what is kept or shown of it."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

# Bytes of JSON. Redis holds every waiting message in memory, and whoever needs more can pass an id.
LARGEST = 256 * 1024
SECRET = re.compile(
    r"password|passwd|secret|token|api_?key|authorization|credential", re.IGNORECASE
)
MASKED = "********"


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
    if isinstance(value, dict):
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


def kept_arguments(args: Any, kwargs: Any) -> dict[str, Any]:
    """Return what a dead letter keeps of arguments: no secrets, and nothing that is too large."""
    kept = {"args": masked(args or []), "kwargs": masked(kwargs or {})}
    size = len(json.dumps(kept))
    if size > LARGEST:
        return {"args": [f"{size:,} bytes, not kept"], "kwargs": {}}
    return kept
