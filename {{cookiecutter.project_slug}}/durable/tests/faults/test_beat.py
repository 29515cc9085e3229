"""Several Beats, one of which is killed or stopped."""

import signal
from datetime import timedelta

import pytest
from celery import current_app, signals
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from durable.beat.scheduler import DeclaredScheduler
from durable.testing.workers import wait_until
from durable.tests import probes
from durable.tests.beats import Beat

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def probe():
    every_hour = IntervalSchedule.objects.create(every=1, period="hours")
    return PeriodicTask.objects.create(
        name="probe", task="reports.probe", interval=every_hour, last_run_at=timezone.now()
    )


@pytest.fixture
def beats(worker):
    beats = [Beat(), Beat()]
    for beat in beats:
        beat.wait()
    yield beats
    for beat in beats:
        beat.end()


def make_due(probe):
    probe.last_run_at = timezone.now() - timedelta(hours=2)
    probe.save()


def test_a_killed_leader_is_replaced_and_a_stopped_one_is_replaced_at_once(beats, probe):
    leader, follower = sorted(beats, key=Beat.leads, reverse=True)
    make_due(probe)
    wait_until(lambda: probes.ran() == ["report"])

    leader.end()
    make_due(probe)
    wait_until(lambda: probes.ran() == ["report", "report"])
    assert follower.leads()

    follower.end(signal.SIGTERM)
    published = []

    def record(sender, **_):
        published.append(sender)

    signals.after_task_publish.connect(record)
    successor = DeclaredScheduler(app=current_app._get_current_object())
    successor.tick()
    assert successor.candidate.leads
    assert "reports.probe" not in published
    assert probes.ran() == ["report", "report"]
