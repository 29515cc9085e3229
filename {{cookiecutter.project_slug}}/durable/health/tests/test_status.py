import os
import signal
import time
from datetime import timedelta

import pytest
import time_machine
from celery import current_app
from django.core.cache import cache
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from durable.health import status
from durable.tasks.tasks import heartbeat
from durable.testing.workers import wait_until


@pytest.fixture(autouse=True)
def _no_heartbeat_and_no_messages_yet():
    cache.delete(status.HEARTBEAT_KEY)
    current_app.control.purge()


@pytest.mark.django_db
def test_every_check_passes():
    heartbeat()

    assert [check for check in status.check_all() if not check.ok] == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("row", "detail"),
    [
        (None, "No heartbeat yet. Start Beat and a worker"),
        ({}, "Beat has sent no heartbeat yet. Check Beat."),
        ({"enabled": False}, 'The periodic task "heartbeat" is disabled. Enable it in the admin.'),
        ({"age": 300}, "Beat sent the last heartbeat 300 s ago. Check Beat."),
        ({"age": 5}, "Beat sent a heartbeat 5 s ago, and no worker ran it. Check the workers."),
        ({"age": -90}, "Beat sent a heartbeat 0 s ago, and no worker ran it."),
    ],
)
def test_a_missing_heartbeat_names_who_is_at_fault(row, detail):
    if row is not None:
        age = row.pop("age", None)
        last_run = timezone.now() - timedelta(seconds=age) if age else None
        every_minute = IntervalSchedule.objects.create(every=1, period="minutes")
        PeriodicTask.objects.create(
            name="heartbeat",
            task=heartbeat.name,
            interval=every_minute,
            last_run_at=last_run,
            **row,
        )

    check = status.run("Beat", status.check_heartbeat)

    assert not check.ok
    assert check.detail.startswith(detail)


def test_a_heartbeat_is_forgotten_when_it_is_old_by_the_clock_of_redis(settings):
    settings.HEARTBEAT_MAX_AGE = 1
    with time_machine.travel(timedelta(minutes=-20)):  # a worker whose clock is behind
        heartbeat()
    assert status.run("Beat", status.check_heartbeat).ok

    wait_until(lambda: cache.get(status.HEARTBEAT_KEY) is None)


@pytest.mark.django_db
def test_a_redis_that_is_full_fails_the_checks_of_broker_and_cache(redis_server):
    heartbeat()
    redis_server.fill()

    down = [check for check in status.check_all() if not check.ok]

    assert {check.name for check in down if "maxmemory" in check.detail} == {"Broker", "Cache"}
    assert {check.name for check in down} <= {"Broker", "Cache", "Queues"}


@pytest.mark.django_db
def test_a_redis_that_hangs_delays_the_checks_once(redis_server, settings):
    settings.BROKER_CIRCUIT_RESET = timedelta(minutes=1)
    redis_server.hang()
    status.check_all()
    started = time.monotonic()

    results = [status.check_all() for _ in range(20)]

    assert time.monotonic() - started < 5  # twenty time-outs take 10 s
    assert not any(check.ok for checks in results for check in checks[1:])


def test_an_unreachable_broker_fails_within_two_seconds(redis_server):
    redis_server.stop()
    started = time.monotonic()

    check = status.run("Broker", status.check_broker)

    assert not check.ok
    assert "refused" in check.detail
    assert time.monotonic() - started < 2


@pytest.mark.django_db
def test_messages_that_no_worker_consumes_are_reported_until_one_does(worker, monkeypatch):
    monkeypatch.setattr(status.queues, "queue_lengths", lambda: {"default": 1, "emails": 0})
    wait_until(lambda: status.run("Queues", status.check_queues).ok)

    os.killpg(worker.group, signal.SIGSTOP)  # it neither consumes nor answers
    try:
        check = status.run("Queues", status.check_queues)
    finally:
        os.killpg(worker.group, signal.SIGCONT)

    assert not check.ok
    assert check.detail.startswith("No worker consumes default, where messages wait. Start ")
    wait_until(lambda: status.run("Queues", status.check_queues).ok)
