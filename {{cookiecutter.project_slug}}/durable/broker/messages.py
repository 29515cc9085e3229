"""The form of a message. Some valid JSON of another form ends a worker of Celery 5.7, and then the next one.

durable/tests/test_bad_messages.py tries every part, property and header with every type of JSON.
"""

import uuid
from base64 import b64decode
from collections.abc import Mapping
from typing import Any

import structlog
from celery.exceptions import InvalidTaskError
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads

logger = structlog.get_logger(__name__)

FAULT = (
    "durable_fault"  # header of a message that replaces an unreadable one: what is wrong with that
)

TEXT = (str, type(None))
# Name: the types that kombu and Celery can handle.
PARTS = {
    "body": (str,),
    "content-encoding": TEXT,
    "content-type": TEXT,
    "headers": (dict, type(None)),
    "properties": (dict,),
}
PROPERTIES = {
    "body_encoding": TEXT,
    "correlation_id": TEXT,
    "delivery_info": (dict,),
    "delivery_tag": (str,),
    "priority": (int, float, type(None)),
    "reply_to": TEXT,
}
TARGET = {"exchange": (str,), "routing_key": (str,)}
HEADERS = {
    "id": (str,),
    "task": (str,),
    "stamped_headers": (list, type(None)),
    "stamps": (dict, type(None)),
    "timelimit": (list, type(None)),
}


def parse_message(raw: bytes, queue: str) -> dict[str, Any]:
    """Return a message that kombu can deliver.

    An unreadable one is replaced by an empty message with the header FAULT, which the worker stores
    as a failed task.

    Args:
        raw: the message as Redis holds it.
        queue: where it comes from.
    """
    message: Any = None
    try:
        message = loads(bytes_to_str(raw))
        validate_message(message)
    except (LookupError, RecursionError, TypeError, ValueError) as error:
        logger.error("message_unreadable", queue=queue, fault=str(error))  # noqa: TRY400 - the trace adds nothing
        return replacement(message, queue, str(error))
    return dict(message)


def validate_message(message: Any) -> None:
    """Raise LookupError, TypeError or ValueError for a message that kombu cannot deliver."""
    if not isinstance(message, dict):
        raise TypeError(f"the message is a {type(message).__name__}, not an object")
    validate_types(message, PARTS)
    validate_types(message["properties"], PROPERTIES)
    validate_types(message["properties"]["delivery_info"], TARGET)
    if not message["properties"]["delivery_tag"].isprintable():
        raise ValueError("delivery_tag holds a character that does not print")
    if message["properties"].get("body_encoding"):
        {"base64": b64decode}[message["properties"]["body_encoding"]](message["body"])


def validate_task_message(message: Any) -> None:
    """Raise an error for a message that Celery cannot read; decode its body, once."""
    headers = message.headers
    if FAULT in headers:
        raise InvalidTaskError(headers[FAULT])
    if "task" in headers:  # else protocol 1, which Celery checks
        validate_types(headers, HEADERS)
        for limit in headers.get("timelimit") or ():
            if limit is not None and not limit > 0:
                raise ValueError(f"timelimit is {limit!r}")
    if not isinstance(message.payload, (list, tuple, dict)):
        raise TypeError(f"body is a {type(message.payload).__name__}")


def validate_types(values: Mapping[str, Any], types: Mapping[str, tuple[type, ...]]) -> None:
    """Raise TypeError for the first value of another type than its name allows."""
    for name, allowed in types.items():
        value = values.get(name)
        if not isinstance(value, allowed) or isinstance(value, bool):
            # Of the parts of a message, the value may be the arguments.
            shown = f"a {type(value).__name__}" if name in PARTS else repr(value)
            raise TypeError(f"{name} is {shown}"[:80])


def log_fields(message: Any) -> dict[str, Any]:
    """Return the fields of the log lines of a message that becomes no task, as far as it has them."""
    headers = message.headers if isinstance(message.headers, dict) else {}
    published = headers.get("__django_structlog__")
    ids = published if isinstance(published, dict) else {}
    work = ids.get("correlation_id") or ids.get("request_id") or headers.get("root_id")
    return {
        "task": headers.get("task"),
        "task_id": headers.get("id"),
        "queue": (message.delivery_info or {}).get("routing_key"),
        "correlation_id": work or headers.get("id"),
    }


def replacement(message: Any, queue: str, fault: str) -> dict[str, Any]:
    """Return an empty message in place of an unreadable one, with its id and name if it has any."""
    headers = message.get("headers") if isinstance(message, dict) else None
    known = headers if isinstance(headers, dict) else {}
    return {
        "body": "",
        "content-type": "text/plain",
        "content-encoding": "utf-8",
        "headers": {"id": known.get("id"), "task": known.get("task"), FAULT: fault},
        "properties": {
            "delivery_tag": str(uuid.uuid4()),
            "delivery_info": {"exchange": "", "routing_key": queue},
        },
    }
