"""Tasks for the tests of the promises; the worker of the tests loads this module."""

import time

from celery import shared_task

from durable.api import DurableTask
from durable.testing.runlog import ran, record


@shared_task(base=DurableTask, name="probes.work")
def work(name: str, *, first_takes: float = 0) -> None:
    """Record the name; the first run takes `first_takes` seconds."""
    record(name)
    if ran().count(name) == 1:
        time.sleep(first_takes)


@shared_task(base=DurableTask, name="probes.fail")
def fail(password: str) -> None:
    """Fail permanently."""
    raise ValueError("this task always fails")
