"""What the load is made of: tasks that write into the ledger that they ran, and nothing else."""

import os
import signal
import time
from typing import Any

import redis
from celery import shared_task, signals
from django.conf import settings
from django.db.backends.signals import connection_created
from django.dispatch import receiver
from durable import leases as rows
from durable.tasks.base import DurableTask, Task

rows.REQUEUE_MINIMUM = 4  # rows in 2 s; 100 a minute in production

SLOW = 0.1  # seconds

ledger = redis.Redis.from_url(settings.LEDGER_URL)


@shared_task(base=DurableTask, name="chaos.durable")
def durable(name: str) -> None:
    """Work that is a row."""
    work("durable", name)


@shared_task(base=Task, name="chaos.plain")
def plain(name: str) -> None:
    """Work that lives in the broker only."""
    work("plain", name)


@shared_task(base=Task, name="chaos.daily")
def daily() -> None:
    """What Beat fires once a day."""
    ledger.rpush("daily", "tick")


@signals.after_task_publish.connect(sender="chaos.daily")
def die(**_: Any) -> None:
    """End Beat between publishing and saving, if the ledger says so."""
    if ledger.getdel("kill beat"):
        os.kill(os.getpid(), signal.SIGKILL)


def work(kind: str, name: str) -> None:
    """Do what the ledger counts; an odd one takes its time."""
    time.sleep(SLOW if name.startswith("odd") else 0)
    ledger.rpush(kind, name)


@receiver(connection_created)
def fill_disk(connection: Any, **_: Any) -> None:
    """Let SQLite's file not grow, if the ledger says so: to SQLite, its disk is full then."""
    if connection.vendor == "sqlite" and ledger.exists("disk full"):
        connection.cursor().execute("PRAGMA max_page_count = 1")


@signals.worker_ready.connect
def note_ready(**_: Any) -> None:
    """Tell that this worker consumes, and the time of its clock."""
    ledger.hset("clocks", str(os.getpid()), time.time())
    ledger.rpush("ready", os.getpid())
