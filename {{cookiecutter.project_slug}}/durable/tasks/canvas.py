"""What follows a task: chains, links, groups and chords, and which of them can be durable.

A durable task's row keeps the signatures that follow it, each with an id of its own. Should the
task run twice, what follows it is published twice with the same id, and so makes one row.
"""

from collections.abc import Iterator
from typing import Any

from celery import current_app
from celery.utils import uuid

# Options of a message that its row has to keep, so that it can be published again.
KEPT = (
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


def listed(value: Any) -> list[Any]:
    """Return what Celery takes as one signature or a list of them as a list."""
    if not value:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def following(options: dict[str, Any]) -> list[Any]:
    """Return the signatures that follow a task with these options."""
    return [link for name in ("chain", "link", "link_error") for link in listed(options.get(name))]


def names_in(signature: Any) -> Iterator[str]:
    """Yield the names of all tasks in a signature, however deep."""
    name, kwargs = signature["task"], signature.get("kwargs") or {}
    if name in {"celery.chain", "celery.group"}:
        parts = kwargs["tasks"]
    else:
        yield name
        parts = [*listed(kwargs["header"]), kwargs["body"]] if name == "celery.chord" else []
    for part in parts:
        yield from names_in(part)


def is_durable(name: str) -> bool:
    """Say whether the task of this name is durable."""
    return bool(getattr(current_app.tasks.get(name), "durable", False))


def refuse_what_cannot_hold(task: str, *, durable: bool, options: dict[str, Any]) -> None:
    """Raise ValueError for links that would break what `durable` promises.

    A chord counts its parts in the result backend. A part that ran twice would be counted twice,
    and a plain link that the broker lost would never ring for the durable one behind it.
    """
    names = [name for signature in following(options) for name in names_in(signature)]
    chord = options.get("chord")
    if chord and (durable or any(map(is_durable, names_in(chord)))):
        raise ValueError(
            f"{task}: a chord cannot hold durable tasks, since a part that runs twice is counted "
            "twice: let each part write a row, and the last one that finds all rows go on"
        )
    for name in names:
        if (name == "celery.chord" and durable) or is_durable(name) != durable:
            kind, other = ("durable", "not") if durable else ("not durable", "durable")
            raise ValueError(
                f"{task}: is {kind}, and {name}, which follows it, is {other}: one that is lost "
                "would take the rest with it: make all tasks of a chain durable, or none"
            )


def kept_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that a row keeps; every signature in them has an id from now on."""
    for signature in following(options):
        signature["options"].setdefault("task_id", uuid())
    return {name: options[name] for name in KEPT if options.get(name) is not None}
