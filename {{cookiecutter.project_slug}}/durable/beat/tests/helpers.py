"""A Beat in the process of a test, and what happens to its rows."""

from collections import defaultdict
from datetime import datetime, timedelta

import time_machine
from celery import current_app
from celery.signals import after_task_publish
from django.db.models.functions import Now
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask, PeriodicTasks

from durable.beat.scheduler import DeclaredScheduler
from durable.tasks.models import BeatLeader


class Beat(DeclaredScheduler):
    """A scheduler in this process, whose ticks a test counts."""

    def __init__(self):
        super().__init__(app=current_app._get_current_object(), lazy=False)

    def run_due(self):
        """Run what is due, and return the seconds until the next tick."""
        while (pause := self.tick()) == 0:
            pass
        return pause


def make_due(name="hourly"):
    """Let an entry be due, and Beat notice it."""
    long_ago = timezone.now() - timedelta(days=1)
    PeriodicTask.objects.filter(name=name).update(last_run_at=long_ago)
    PeriodicTasks.update_changed()


def expire_lease():
    """Let another Beat lead."""
    BeatLeader.objects.update(lease_until=Now() - timedelta(seconds=1))


def every_hour():
    """Return a schedule."""
    return IntervalSchedule.objects.get_or_create(every=1, period="hours")[0]


def simulate(start, duration):
    """Return when each task is published, by a clock that jumps from tick to tick."""
    times = defaultdict(list)

    def record(sender, **_):
        times[sender].append(datetime.now(start.tzinfo).strftime("%d %H:%M"))

    after_task_publish.connect(record)
    with time_machine.travel(start, tick=False) as traveller:
        beat = Beat()
        beat.max_interval = duration.total_seconds()
        while datetime.now(start.tzinfo) < start + duration:
            traveller.shift(max(beat.tick(), 0.01))
    after_task_publish.disconnect(record)
    return times
