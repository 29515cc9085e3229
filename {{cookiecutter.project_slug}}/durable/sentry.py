"""Adds to Sentry's own integrations: the trace of work that is a row, and cron monitors of Beat's own tasks.

Sentry's SDK puts the trace, and the monitor of a periodic task, into the message of a task. The message
of a row may be published again much later by another process, so the row stores both. This is on if
SENTRY_DSN is set; otherwise nothing of Sentry is imported.
"""

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from celery import current_app

from durable.conf import conf

TRACE = "sentry-trace"  # <trace>-<span>-<1 if sampled, 0 if not, absent if undecided>
MONITOR = "sentry-monitor-"  # the start of the headers of a periodic task
STARTED = f"{MONITOR}start-timestamp-s"
# The flags of a W3C traceparent, the form of the column; 02 stands for an undecided one.
FLAGS = {"1": "01", "0": "00", "": "02"}
SAMPLED = {flags: sampled for sampled, flags in FLAGS.items()}
TRACEPARENT = re.compile("00-([0-9a-f]{32})-([0-9a-f]{16})-(0[012])")


def is_on() -> bool:
    """Return whether errors and traces go to Sentry."""
    return bool(conf.SENTRY_DSN)


def traceparent() -> str:
    """Return the context of the running span as a W3C traceparent, or an empty string."""
    if not is_on():
        return ""
    import sentry_sdk  # noqa: PLC0415 - only if it is on, here and below

    trace, span, *sampled = (sentry_sdk.get_traceparent() or "-").split("-")
    return f"00-{trace}-{span}-{FLAGS[''.join(sampled)]}" if trace else ""


def trace_of(parent: object) -> dict[str, Any]:
    """Return Sentry's header for the `traceparent` of a row; none if it is invalid."""
    found = TRACEPARENT.fullmatch(str(parent))
    if not (is_on() and found):
        return {}
    trace, span, flags = found.groups()
    return {TRACE: "-".join(filter(None, (trace, span, SAMPLED[flags])))}


def message_headers(parent: object) -> dict[str, Any]:
    """Return the headers that give the message of a row the trace of the row, not that of its publisher."""
    trace = trace_of(parent)
    # The SDK removes the second, and reads the first again in its worker.
    return trace and {"headers": trace, "sentry-propagate-traces": False}


def monitor_headers(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the headers that name the monitor of a periodic task and the time when it was sent."""
    found = {name: value for name, value in headers.items() if name.startswith(MONITOR)}
    return found and {STARTED: f"{time.time():.9f}"} | found


@contextmanager
def transaction(name: str, parent: object) -> Iterator[None]:
    """Run a block in a transaction that continues the trace of a row.

    Args:
        name: of the transaction.
        parent: the `traceparent` of what caused it; an invalid one begins a new trace.
    """
    if not is_on():
        yield
        return
    import sentry_sdk  # noqa: PLC0415

    with sentry_sdk.isolation_scope():
        cause = sentry_sdk.continue_trace(trace_of(parent), op="queue.process", name=name)
        with sentry_sdk.start_transaction(cause):
            yield


@contextmanager
def check_in(name: str, schedule: Any) -> Iterator[None]:
    """Run a block as one run of a monitor: in progress, then in order or failed.

    Args:
        name: of the periodic task.
        schedule: its schedule; Sentry accepts only crontabs and whole minutes.
    """
    if not is_on():
        yield
        return
    from sentry_sdk.crons import monitor  # noqa: PLC0415
    from sentry_sdk.integrations.celery.beat import _get_monitor_config  # noqa: PLC0415

    config = _get_monitor_config(schedule, current_app, name)
    if not config:
        yield
        return
    with monitor(name, config):
        yield
