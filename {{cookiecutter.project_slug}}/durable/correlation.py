"""The id of a request and of its user, carried to all tasks and mails that it causes."""

import structlog

MAX_LENGTH = 100  # characters of the columns; a header may be longer


def correlation_id() -> str:
    """Return the id of the request that caused the running code, or an empty string."""
    context = structlog.contextvars.get_contextvars()
    return str(context.get("correlation_id") or context.get("request_id") or "")[:MAX_LENGTH]


def user_id() -> str:
    """Return the key of the user whose request caused the running code; an empty string if none did."""
    found = structlog.contextvars.get_contextvars().get("user_id")
    return "" if found is None else str(found)[:MAX_LENGTH]
