"""Publishes the load as requests would, and says what was accepted.

Each line on standard input, a name and a number, is a load; the answer is one line of JSON.
"""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator

import django
from django.db import DatabaseError, close_old_connections, transaction
from kombu.exceptions import OperationalError

django.setup()

import chaos_tasks  # noqa: E402 - needs Django
from durable.mail.api import send_email, send_emails  # noqa: E402 - the same

# One in so many is odd: a task that takes a tenth of a second, a mail that is refused for good.
ODD = 50
PAUSE = 0.1  # seconds until a refused caller makes its next call
# The first are published one by one, as requests do, the others together, as an import does.
ONE_BY_ONE = 200
TOGETHER = 10


def email(names: list[str]) -> None:
    """Queue mails."""
    mails = [(f"{name}@example.com", {"queued_by": "chaos"}, None) for name in names]
    if len(mails) == 1:
        to, context, _ = mails[0]
        send_email("test_email", to, context)
    else:
        send_emails("test_email", mails)


def durable(names: list[str]) -> None:
    """Record durable tasks."""
    with transaction.atomic():
        for name in names:
            chaos_tasks.durable.apply_async((name,))


def plain(names: list[str]) -> None:
    """Publish plain tasks; no transaction holds them together."""
    for name in names:
        chaos_tasks.plain.apply_async((name,))


Call = Callable[[list[str]], None]
KINDS: dict[str, Call] = {"email": email, "durable": durable, "plain": plain}


def calls(kind: str, names: list[str]) -> Iterator[list[str]]:
    """Yield the names of each call; whoever makes it learns whether all of it was accepted."""
    alone = len(names) if kind == "plain" else ONE_BY_ONE
    yield from ([name] for name in names[:alone])
    for start in range(alone, len(names), TOGETHER):
        yield names[start : start + TOGETHER]


def publish(kind: str, names: list[str], accepted: list[str]) -> None:
    """Make all calls of a kind, and note what did not raise."""
    for together in calls(kind, names):
        try:
            KINDS[kind](together)
        except (DatabaseError, OperationalError):
            time.sleep(PAUSE)
            close_old_connections()  # as Django does after a request
        else:
            accepted.extend(together)


def load(row: str, number: int) -> dict[str, list[str]]:
    """Publish all kinds at the same time."""
    accepted: dict[str, list[str]] = {kind: [] for kind in KINDS}
    names = [
        f"{'odd' if index % ODD == ODD // 2 else 'usual'}-{row}-{index}" for index in range(number)
    ]
    threads = [
        threading.Thread(target=publish, args=(kind, names, accepted[kind])) for kind in KINDS
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return accepted


for line in sys.stdin:
    row, number = line.split()
    print(json.dumps((row, load(row, int(number)))), flush=True)
