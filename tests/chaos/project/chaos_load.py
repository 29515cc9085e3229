"""Publishes the load as requests would, and says what was accepted.

Each line on standard input, a name and a number, is a load; the answer is one line of JSON.
"""

import json
import sys
import threading
import time
from collections.abc import Callable

import django
from django.db import DatabaseError, close_old_connections
from kombu.exceptions import OperationalError

django.setup()

import chaos_tasks  # noqa: E402 - needs Django

from apps.mail.services import send_email  # noqa: E402 - the same

# One in so many is odd: a task that takes a tenth of a second, a mail that is refused for good.
ODD = 50
PAUSE = 0.1  # seconds until a refused caller makes its next call


def email(name: str) -> None:
    """Queue a mail."""
    send_email("test_email", f"{name}@example.com", {"queued_by": "chaos"})


def durable(name: str) -> None:
    """Record a durable task."""
    chaos_tasks.durable.apply_async((name,))


def plain(name: str) -> None:
    """Publish a plain task."""
    chaos_tasks.plain.apply_async((name,))


Call = Callable[[str], None]
KINDS: dict[str, Call] = {"email": email, "durable": durable, "plain": plain}


def publish(call: Call, names: list[str], accepted: list[str]) -> None:
    """Make one call for each name, as many requests do, and note those that did not raise."""
    for name in names:
        try:
            call(name)
        except (DatabaseError, OperationalError):
            time.sleep(PAUSE)
            close_old_connections()  # as Django does after a request
        else:
            accepted.append(name)


def load(row: str, number: int) -> dict[str, list[str]]:
    """Publish all kinds at the same time."""
    accepted: dict[str, list[str]] = {kind: [] for kind in KINDS}
    names = [
        f"{'odd' if index % ODD == ODD // 2 else 'usual'}-{row}-{index}" for index in range(number)
    ]
    threads = [
        threading.Thread(target=publish, args=(call, names, accepted[kind]))
        for kind, call in KINDS.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return accepted


for line in sys.stdin:
    row, number = line.split()
    print(json.dumps((row, load(row, int(number)))), flush=True)
