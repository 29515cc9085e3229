import time

import pytest
from django.core.cache import cache

from apps.tasks import health
from apps.tasks.tasks import heartbeat


@pytest.fixture(autouse=True)
def _no_heartbeat_yet():
    cache.delete(health.HEARTBEAT_KEY)


@pytest.mark.django_db
def test_parts_that_answer_are_up():
    heartbeat()

    assert [check.ok for check in health.all_checks()] == [True, True, True]


def test_a_service_without_beat_says_what_to_start():
    check = health.run("Beat", health.check_heartbeat)

    assert not check.ok
    assert "start Beat and a worker" in check.detail


def test_an_old_heartbeat_is_told_with_its_age():
    cache.set(health.HEARTBEAT_KEY, time.time() - 300)

    check = health.run("Beat", health.check_heartbeat)

    assert (check.ok, check.detail[:31]) == (False, "The last heartbeat is 300 s old")


def test_a_broker_that_is_away_is_found_within_two_seconds(redis_server):
    redis_server.stop()
    started = time.monotonic()

    check = health.run("Broker", health.check_broker)

    assert not check.ok
    assert "refused" in check.detail
    assert time.monotonic() - started < 2
