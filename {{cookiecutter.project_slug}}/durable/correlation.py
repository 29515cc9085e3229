"""Which request something began with, through all tasks that follow from it."""

import structlog

LONGEST = 100  # characters; a request's headers may bring more than the rows take


def correlation_id() -> str:
    """Return the id of the request that all this began with, or an empty string."""
    context = structlog.contextvars.get_contextvars()
    return str(context.get("correlation_id") or context.get("request_id") or "")[:LONGEST]
