"""Chains, links, groups and chords: which of them can be durable.

A durable task's row stores the signatures that follow it, each with an id of its own. If the task
runs twice, its links are published twice with the same id, which makes one row each.
"""

from collections.abc import Iterator
from typing import Any

from celery import current_app
from celery.utils import uuid

from durable import sentry

# The options of a message that its row stores, so that the message can be published again.
STORED = (
    "chain",
    "link",
    "link_error",
    "root_id",
    "parent_id",
    "group_id",
    "group_index",
    "ignore_result",
    "time_limit",
    "soft_time_limit",
)


def as_list(value: Any) -> list[Any]:
    """Return a list of signatures; Celery takes one signature, too."""
    if not value:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def links_of(options: dict[str, Any]) -> list[Any]:
    """Return the signatures that follow a task with these options."""
    return [link for name in ("chain", "link", "link_error") for link in as_list(options.get(name))]


def task_names(signature: Any) -> Iterator[str]:
    """Yield the names of all tasks in a signature, at any depth."""
    name, kwargs = signature["task"], signature.get("kwargs") or {}
    if name in {"celery.chain", "celery.group"}:
        parts = kwargs["tasks"]
    else:
        yield name
        parts = [*as_list(kwargs["header"]), kwargs["body"]] if name == "celery.chord" else []
    for part in parts:
        yield from task_names(part)


def is_durable(name: str) -> bool:
    """Whether the named task is durable."""
    return bool(getattr(current_app.tasks.get(name), "durable", False))


def validate_links(task: str, *, durable: bool, options: dict[str, Any]) -> None:
    """Raise ValueError for links that would break the promise of a durable task.

    A chord counts its parts in the result backend, so a part that runs twice is counted twice. A
    plain link that the broker loses would never start the durable link behind it.
    """
    names = [name for signature in links_of(options) for name in task_names(signature)]
    chord = options.get("chord")
    if chord and (durable or any(map(is_durable, task_names(chord)))):
        raise ValueError(
            f"{task}: a chord cannot hold durable tasks, since a part that runs twice is counted "
            "twice: let each part write a row; the part that finds all rows starts the next task"
        )
    for name in names:
        if (name == "celery.chord" and durable) or is_durable(name) != durable:
            kind, other = ("durable", "plain") if durable else ("plain", "durable")
            raise ValueError(
                f"{task} is {kind}, and {name}, which follows it, is {other}: a lost link loses "
                "the rest of the chain: make all tasks of a chain durable, or none"
            )


def stored_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that a row stores; every signature in them gets an id."""
    for signature in links_of(options):
        signature["options"].setdefault("task_id", uuid())
    stored = {name: options[name] for name in STORED if options.get(name) is not None}
    monitor = sentry.monitor_headers(options.get("headers") or {})
    return stored | ({"headers": monitor} if monitor else {})
