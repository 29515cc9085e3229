"""The form of a message. Valid JSON of any other form ends a worker of Celery 5.7, and then the next one.

Sources: https://docs.celeryq.dev/en/stable/internals/protocol.html and kombu's virtual transport.
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
    "durable_fault"  # header of a message that replaces one of another form: what is wrong with it
)

MAX_TAG = 255  # characters
TEXT: tuple[type, ...] = (str, type(None))
NUMBER: tuple[type, ...] = (int, float, type(None))
PARTS = {
    "body": (str,),
    "content-encoding": TEXT,
    "content-type": TEXT,
    "headers": (dict, type(None)),
    "properties": (dict,),
}
TARGET = {"exchange": (str,), "routing_key": (str,)}
PROPERTIES = {
    "body_encoding": TEXT,
    "correlation_id": TEXT,
    "delivery_info": (dict,),
    "delivery_tag": (str,),
    "priority": NUMBER,
    "reply_to": TEXT,
}
HEADERS = {
    "eta": TEXT,
    "expires": TEXT,
    "group": TEXT,
    "id": (str,),
    "ignore_result": (bool, type(None)),
    "argsrepr": TEXT,
    "kwargsrepr": TEXT,
    "origin": TEXT,
    "parent_id": TEXT,
    "replaced_task_nesting": (int,),
    "retries": (int, type(None)),
    "root_id": TEXT,
    "shadow": TEXT,
    "stamped_headers": (list, type(None)),
    "stamps": (dict, type(None)),
    "task": (str,),
}


def parse_message(raw: bytes, queue: str) -> dict[str, Any]:
    """Return a message that kombu can deliver.

    One that is no JSON, or whose properties have another form, is replaced by an empty message with
    the header FAULT; the worker stores it as a failed task.

    Args:
        raw: the message as Redis holds it.
        queue: where it comes from.
    """
    try:
        message = loads(bytes_to_str(raw))
    except (RecursionError, ValueError) as error:
        return replacement({}, queue, f"no JSON: {error!r}")
    if not isinstance(message, dict):
        return replacement({}, queue, f"a {type(message).__name__}, not an object")
    if fault := fault_of_message(message):
        return replacement(message, queue, fault)
    return message


def fault_of_message(message: Mapping[str, Any]) -> str:
    """Return why kombu cannot deliver a message, or an empty text."""
    if fault := fault_in(message, PARTS, ("body", "properties")):
        return fault
    properties = message["properties"]
    if fault := fault_in(properties, PROPERTIES, ("delivery_tag", "delivery_info")):
        return f"properties: {fault}"
    if not is_tag(properties["delivery_tag"]):
        return f"properties: delivery_tag is {shown(properties['delivery_tag'])}"
    fault = fault_of_body(message["body"], properties.get("body_encoding"))
    return fault or fault_in(properties["delivery_info"], TARGET, tuple(TARGET))


def fault_of_body(body: str, encoding: str | None) -> str:
    """Return why kombu cannot decode a body, or an empty text."""
    if encoding not in {None, "", "base64"}:
        return f"properties: body_encoding is {shown(encoding)}"
    try:
        b64decode(body if encoding else "")
    except ValueError as error:
        return f"body is no base64: {error}"
    return ""


def validate_task_message(message: Any) -> None:
    """Raise an error for a message that Celery cannot read; decode its body, once."""
    if fault := fault_of_headers(message.headers):
        raise InvalidTaskError(fault)
    if not isinstance(message.payload, (list, tuple, dict)):
        raise InvalidTaskError(f"body is {shown(message.payload)}")


def fault_of_headers(headers: Any) -> str:
    """Return why Celery cannot read the headers of a task's message, or an empty text."""
    if not isinstance(headers, dict):
        return f"headers is {shown(headers)}"
    if FAULT in headers:
        return str(headers[FAULT])
    if "task" not in headers:
        return ""  # protocol 1, which Celery checks
    if fault := fault_in(headers, HEADERS, ("id", "task")):
        return f"headers: {fault}"
    limits = headers.get("timelimit") or [None, None]
    if not (isinstance(limits, list) and len(limits) == 2 and all(map(is_limit, limits))):  # noqa: PLR2004 - hard and soft
        return f"headers: timelimit is {shown(limits)}"
    return ""


def fault_in(values: Mapping[str, Any], kinds: Mapping[str, Any], required: tuple[str, ...]) -> str:
    """Return the first value of another type than its name allows, or an empty text."""
    for name, allowed in kinds.items():
        if name not in values and name not in required:
            continue
        value = values.get(name)
        if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
            return f"{name} is {shown(value)}"
    return ""


def is_limit(value: Any) -> bool:
    """Whether a value is a time limit: seconds, or None."""
    return value is None or ((type(value) is int or type(value) is float) and value > 0)


def is_tag(value: Any) -> bool:
    """Whether a value can name a message in Redis; kombu's own are UUIDs."""
    return isinstance(value, str) and value.isprintable() and 0 < len(value) <= MAX_TAG


def shown(value: Any) -> str:
    """Return a value for an error's text, no longer than a line."""
    return f"{value!r}"[:60]


def replacement(message: Mapping[str, Any], queue: str, fault: str) -> dict[str, Any]:
    """Return an empty message in place of one that kombu cannot deliver."""
    logger.error("message_unreadable", queue=queue, fault=fault)
    headers, properties = message.get("headers"), message.get("properties")
    headers = headers if isinstance(headers, dict) else {}
    tag = properties.get("delivery_tag") if isinstance(properties, dict) else None
    tag = tag if is_tag(tag) else str(uuid.uuid4())
    return {
        "body": "",
        "content-type": "text/plain",
        "content-encoding": "utf-8",
        "headers": {"id": headers.get("id"), "task": headers.get("task"), FAULT: fault},
        "properties": {
            "body_encoding": None,
            "delivery_tag": tag,
            "delivery_info": {"exchange": "", "routing_key": queue},
        },
    }
