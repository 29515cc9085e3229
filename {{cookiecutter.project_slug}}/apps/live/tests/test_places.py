import time

import pytest
from django.conf import settings
from django.core.cache import cache

from apps.live import places
from durable.testing.workers import wait_until


@pytest.fixture(autouse=True)
def _empty():
    cache.clear()


def take_all():
    return [places.take(1) for _ in range(settings.LIVE_SOCKETS_PER_USER)]


def test_there_are_so_many_places_and_each_is_taken_once():
    taken = take_all()

    assert len(set(taken)) == settings.LIVE_SOCKETS_PER_USER
    assert places.take(1) is None
    places.give_back(taken[3])
    assert places.take(1) == taken[3]


def test_places_of_a_process_that_crashed_run_out_unless_they_are_renewed(monkeypatch):
    monkeypatch.setattr(settings, "LIVE_PING_INTERVAL", 0.1)
    crashed, kept = places.take(1), places.take(1)

    wait_until(lambda: places.renew(kept) or cache.get(crashed) is None)
    assert cache.get(kept)


@pytest.mark.parametrize("trouble", ["stop", "hang"])
def test_without_a_cache_nobody_is_refused_and_one_waits(redis_server, trouble):
    getattr(redis_server, trouble)()
    assert all(take_all())
    started = time.monotonic()
    taken = [places.take(1), places.take(1)]
    for place in taken:
        places.renew(place)
        places.give_back(place)

    assert all(taken)
    assert time.monotonic() - started < 0.2
