"""Arguments for people, logs and failed tasks: secrets are redacted."""

import inspect
import json
import math
import re
from collections.abc import Callable
from functools import cache
from itertools import chain, repeat
from typing import Any

from celery import current_app
from celery.utils.saferepr import saferepr
from django.core.serializers.json import DjangoJSONEncoder

from durable.tasks.validation import MAX_ARGUMENTS_SIZE
from durable.text import clean_text

SECRET = re.compile(
    r"password|passwd|secret|token|api_?key|authorization|credential", re.IGNORECASE
)
REDACTED = "********"
MAX_DEPTH = 50  # levels; Python's own JSON ends with an error at about a thousand
SIGNATURE = {"task", "args", "kwargs", "options", "immutable"}  # the keys of each of Celery's


def redact(value: Any, depth: int = 0) -> Any:
    """Return `value` as the database can hold it, with everything under a secret's name redacted."""
    if depth > MAX_DEPTH:
        return "nested too deeply, not stored"
    if isinstance(value, dict):
        return redact_dict(value, depth + 1)
    if isinstance(value, (list, tuple)):
        return [redact(item, depth + 1) for item in value]
    return clean_scalar(value)


def clean_scalar(value: Any) -> Any:
    """Return a value that is no container as the database can hold it."""
    match value:
        case float() if not math.isfinite(value):
            return repr(value)
        case None | bool() | int() | float():
            return value
        case str():
            return clean_text(value)
    return clean_text(json.loads(json.dumps(value, cls=DjangoJSONEncoder, default=repr)))


def redact_dict(value: dict[Any, Any], depth: int) -> dict[str, Any]:
    """Do as `redact`; in a signature, a secret's name may be that of a parameter."""
    if value.keys() >= SIGNATURE:
        # The task of a link receives a result first, unless the signature is immutable.
        before = 0 if value["immutable"] else 1
        value = {**value, "args": redact_args(str(value["task"]), value["args"], before)}
    return {
        clean_text(str(key)): REDACTED if SECRET.search(str(key)) else redact(item, depth)
        for key, item in value.items()
    }


def redact_args(task: str, args: Any, before: int = 0) -> Any:
    """Return positional arguments as `redact` does; here a secret's name is that of its parameter.

    Args:
        task: the task's name; an unknown one gives its arguments no names.
        args: the arguments.
        before: how many arguments come before them.
    """
    if not isinstance(args, (list, tuple)):
        return redact(args)
    run = getattr(find_task(task), "run", None)
    names = chain(positional_parameters(run)[before:] if run else (), repeat(""))
    return [
        REDACTED if SECRET.search(name) else redact(item)
        for name, item in zip(names, args, strict=False)
    ]


def find_task(name: str) -> Any:
    """Return the task of this name, or None if there is none."""
    if name not in current_app.tasks:
        load_all_tasks()
    return current_app.tasks.get(name)


@cache
def load_all_tasks() -> None:
    """Import all tasks of the service once: a web process knows only those that it has imported."""
    current_app.loader.import_default_modules()


@cache
def positional_parameters(run: Callable[..., Any]) -> list[str]:
    """Return the names of a function's positional parameters."""
    positional = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    parameters = inspect.signature(run).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind in positional]


def redacted_arguments(task: str, args: Any, kwargs: Any) -> dict[str, Any]:
    """Return the arguments of the named task without secrets."""
    return {"args": redact_args(task, args), "kwargs": redact(kwargs)}


def message_reprs(task: str, args: Any, kwargs: Any) -> dict[str, str]:
    """Return the texts of a message that describe its arguments; Celery stores them with the result.

    Celery's own texts, equally short, hold the secrets.
    """
    shown, amqp = redacted_arguments(task, args, kwargs), current_app.amqp
    levels = current_app.conf.task_repr_maxlevels
    return {
        "argsrepr": saferepr(tuple(shown["args"]), amqp.argsrepr_maxsize, levels),
        "kwargsrepr": saferepr(shown["kwargs"], amqp.kwargsrepr_maxsize, levels),
    }


def stored_arguments(task: str, args: Any, kwargs: Any) -> dict[str, Any]:
    """Return the arguments as a failed task stores them: redacted, and not too large."""
    stored = redacted_arguments(task, args or [], kwargs or {})
    size = len(json.dumps(stored))
    if size > MAX_ARGUMENTS_SIZE:
        return {"args": [f"{size:,} bytes, not stored"], "kwargs": {}}
    return stored
