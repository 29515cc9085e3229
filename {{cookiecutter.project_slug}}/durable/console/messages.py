"""The messages that wait in a queue of the broker, read without receiving them."""

import json
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_aware
from kombu.utils.encoding import bytes_to_str

from durable.broker.messages import validate_message
from durable.broker.queues import peek
from durable.tasks.enqueue import HEADER, row_id
from durable.tasks.redaction import redacted_arguments
from durable.text import clean_text

MAX_MESSAGES = 100  # of a queue that are shown
MAX_SIZE = 64 * 1024  # bytes; the arguments of a larger message are not read
MAX_LENGTH = 300  # characters of arguments that are shown


@dataclass(frozen=True)
class Message:
    """One message, for people.

    Args:
        name, task_id: of its task.
        run: the key of its row; None for a plain task.
        due: when it may start, if it was published for later.
        attempt: the number of the next attempt.
        arguments: without secrets.
    """

    name: str
    task_id: str
    run: Any
    due: datetime | None
    attempt: int
    arguments: str


def waiting_messages(queue: str) -> list[Message]:
    """Return the messages that workers receive next, MAX_MESSAGES at most."""
    return [read(raw) for raw in peek(queue, MAX_MESSAGES)]


def read(raw: bytes) -> Message:
    """Return one message; one that workers cannot read has no name."""
    try:
        message = json.loads(bytes_to_str(raw))
        validate_message(message)
    except (LookupError, RecursionError, TypeError, ValueError):
        return Message("", "", None, None, 1, f"unreadable, {len(raw):,} bytes")
    headers: dict[str, Any] = message.get("headers") or {}
    task_id = clean_text(str(headers.get("id") or ""))
    name = clean_text(str(headers.get("task") or ""))
    retries = headers.get("retries")
    durable = bool(headers.get(HEADER))
    return Message(
        name[:255],
        task_id[:255],
        row_id(task_id) if durable else None,
        due_time(headers.get("eta")),
        retries + 1 if isinstance(retries, int) else 1,
        "in its row" if durable else arguments_of(name, message, len(raw)),
    )


def due_time(eta: Any) -> datetime | None:
    """Return the time in a message; None if there is none, or if it is in another format than Celery's."""
    try:
        due = parse_datetime(str(eta))
    except ValueError:
        return None
    return due if due and is_aware(due) else None


def arguments_of(name: str, message: dict[str, Any], size: int) -> str:
    """Return the arguments in a message as a text, without secrets."""
    if size > MAX_SIZE:
        return f"{size:,} bytes, not read"
    try:
        text = message["body"]
        if (message.get("properties") or {}).get("body_encoding") == "base64":
            text = b64decode(text)
        args, kwargs, _links = json.loads(text)
        shown = redacted_arguments(name, args, kwargs)
    except (KeyError, TypeError, ValueError, RecursionError):
        return "unreadable"
    return short(", ".join(parts(shown["args"], shown["kwargs"])))


def parts(args: Any, kwargs: Any) -> Iterator[str]:
    """Yield each argument as a text."""
    for value in args if isinstance(args, list) else [args]:
        yield json.dumps(value, ensure_ascii=False)
    for name, value in kwargs.items() if isinstance(kwargs, dict) else ():
        yield f"{name}={json.dumps(value, ensure_ascii=False)}"


def short(text: str) -> str:
    """Return a text of MAX_LENGTH characters at most."""
    return text if len(text) <= MAX_LENGTH else f"{text[:MAX_LENGTH]}…"
