import time

import pytest
from django.core.cache import cache

from durable.health import status
from durable.tasks.tasks import heartbeat


@pytest.fixture(autouse=True)
def _no_heartbeat_yet():
    cache.delete(status.HEARTBEAT_KEY)


@pytest.mark.django_db
def test_parts_that_answer_are_up():
    heartbeat()

    assert [check.ok for check in status.all_checks()] == [True, True, True]


def test_a_service_without_beat_says_what_to_start():
    check = status.run("Beat", status.check_heartbeat)

    assert not check.ok
    assert "start Beat and a worker" in check.detail


def test_an_old_heartbeat_is_told_with_its_age():
    cache.set(status.HEARTBEAT_KEY, time.time() - 300)

    check = status.run("Beat", status.check_heartbeat)

    assert (check.ok, check.detail[:31]) == (False, "The last heartbeat is 300 s old")


def test_a_broker_that_is_away_is_found_within_two_seconds(redis_server):
    redis_server.stop()
    started = time.monotonic()

    check = status.run("Broker", status.check_broker)

    assert not check.ok
    assert "refused" in check.detail
    assert time.monotonic() - started < 2
