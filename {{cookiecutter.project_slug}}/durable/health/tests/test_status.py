import time

import pytest
from django.core.cache import cache

from durable.health import status
from durable.tasks.tasks import heartbeat


@pytest.fixture(autouse=True)
def _no_heartbeat_yet():
    cache.delete(status.HEARTBEAT_KEY)


@pytest.mark.django_db
def test_every_check_passes():
    heartbeat()

    assert [check.ok for check in status.check_all()] == [True, True, True]


def test_a_service_without_beat_names_what_to_start():
    check = status.run("Beat", status.check_heartbeat)

    assert not check.ok
    assert "Start Beat and a worker" in check.detail


def test_an_old_heartbeat_fails_with_its_age():
    cache.set(status.HEARTBEAT_KEY, time.time() - 300)

    check = status.run("Beat", status.check_heartbeat)

    assert (check.ok, check.detail[:24]) == (False, "Last heartbeat 300 s ago")


def test_an_unreachable_broker_fails_within_two_seconds(redis_server):
    redis_server.stop()
    started = time.monotonic()

    check = status.run("Broker", status.check_broker)

    assert not check.ok
    assert "refused" in check.detail
    assert time.monotonic() - started < 2
