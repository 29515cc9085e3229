"""Tasks that only tests have. Their names route them, and they record that they ran."""

import os
import signal
import time
from contextlib import suppress
from typing import Any

from celery import current_app, shared_task
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded

from durable.tasks.base import DurableTask, Task
from durable.testing.runlog import ran, record


@shared_task(base=Task, name="mail.deliver_probe")
def urgent() -> None:
    """A task that goes where mail goes."""
    record("urgent")


@shared_task(base=Task, name="reports.probe")
def report(seconds: float = 0) -> None:
    """A task in the queue of reports, which takes a given time."""
    record("report")
    time.sleep(seconds)


@shared_task(base=Task, name="tests.echo")
def echo(word: str) -> None:
    """Record a word, by which a test knows its own task."""
    record(word)


@shared_task(base=Task, name="tests.nothing")
def nothing() -> None:
    """A task that does nothing, for measurements of what surrounds it."""


@shared_task(base=Task, name="tests.patience")
def patience() -> None:
    """Record how many seconds this worker waits for its broker."""
    record(str(current_app.conf.broker_transport_options["socket_timeout"]))


@shared_task(base=DurableTask, name="tests.durable")
def durable(name: str, seconds: float = 0) -> str:
    """A durable task that records its name and takes a given time."""
    record(name)
    time.sleep(seconds)
    return name


@shared_task(base=DurableTask, name="tests.durable_link")
def durable_link(before: str, name: str) -> str:
    """A durable task that follows another."""
    record(f"{before}+{name}")
    return name


@shared_task(base=DurableTask, name="tests.failing")
def failing(password: str = "") -> None:
    """A durable task that fails for good."""
    record("failing")
    raise ZeroDivisionError("nothing to divide by")


@shared_task(base=DurableTask, name="tests.flaky")
def flaky(failures: int) -> None:
    """A durable task that fails temporarily a given number of times."""
    record("flaky")
    if ran().count("flaky") <= failures:
        raise ConnectionError("the other side is away")


@shared_task(base=DurableTask, name="tests.deadly")
def deadly() -> None:
    """A durable task that takes its pool process with it."""
    record("deadly")
    os.kill(os.getpid(), signal.SIGKILL)


@shared_task(base=Task, name="tests.plain_deadly")
def plain_deadly(name: str = "plain") -> None:
    """A plain task that takes its pool process with it."""
    record(f"deadly {name}")
    os.kill(os.getpid(), signal.SIGKILL)


@shared_task(base=DurableTask, name="tests.endless")
def endless() -> None:
    """A durable task that its worker has to end."""
    record("endless")
    while True:
        with suppress(SoftTimeLimitExceeded):
            time.sleep(60)


@shared_task(bind=True, base=Task, name="tests.work")
def work(self: Any, name: str, seconds: float = 0) -> None:
    """A task that takes a given time, but none when it is delivered again."""
    again = self.request.delivery_info["redelivered"]
    record(f"{name} begins again" if again else f"{name} begins")
    time.sleep(0 if again else seconds)
    record(f"{name} ends")


@shared_task(base=DurableTask, name="tests.idle")
def idle() -> None:
    """A durable task that finds nothing to do."""
    record("idle")
    raise Ignore


@shared_task(base=DurableTask, name="tests.rejecting")
def rejecting() -> None:
    """A durable task that rejects its message."""
    record("rejecting")
    raise Reject("not for me", requeue=False)


@shared_task(base=DurableTask, name="tests.nested")
def nested(depth: int) -> None:
    """A durable task that calls itself."""
    record(f"{depth} begins")
    if depth:
        nested(depth - 1)
    record(f"{depth} ends")


@shared_task(bind=True, base=DurableTask, name="tests.paged")
def paged(self: Any, page: int, size: int) -> None:
    """A durable task that comes back once for the next page."""
    record(f"page {page} of {size}")
    if page == 1:
        self.retry(kwargs={**self.request.kwargs, "page": 2}, countdown=0, throw=False)
        record("not reached")


@shared_task(bind=True, base=Task, name="tests.far_away")
def far_away(self: Any) -> None:
    """A plain task that wants to come back when the broker would have handed it out again."""
    self.retry(countdown=365 * 24 * 3600)


@shared_task(bind=True, base=DurableTask, name="tests.replaced")
def replaced(self: Any) -> None:
    """A durable task that wants another in its place."""
    self.replace(durable.s("replacement"))


@shared_task(base=Task, name="tests.plain_flaky", autoretry_for=())
def plain_flaky(failures: int) -> None:
    """A plain task that fails permanently a given number of times."""
    record("plain flaky")
    if ran().count("plain flaky") <= failures:
        raise ZeroDivisionError("nothing to divide by")


@shared_task(bind=True, base=Task, name="tests.giving_up", max_retries=0)
def giving_up(self: Any, user_id: int, password: str) -> None:
    """A plain task that wants to come back, and may not."""
    self.retry(countdown=0)


@shared_task(base=Task, name="tests.ignored")
def ignored(_value: str) -> None:
    """A plain task that leaves no trace."""


def fail(text: list[int]) -> None:
    """Fail with a text, given as code points: no message can hold it."""
    raise ValueError("".join(map(chr, text)))


durable_unprintable = shared_task(base=DurableTask, name="tests.durable_unprintable")(fail)
plain_unprintable = shared_task(base=Task, name="tests.plain_unprintable")(fail)


@shared_task(base=Task, name="tests.number")
def number(value: int) -> int:
    """A plain task that returns a number, and ignores its result like all."""
    return value


@shared_task(base=Task, name="tests.kept_number", ignore_result=False)
def kept_number(value: int) -> int:
    """A plain task that keeps its result."""
    return value


@shared_task(base=Task, name="tests.total")
def total(values: list[int]) -> None:
    """The body of a chord."""
    record(str(sum(values)))
