import pytest
import redis
from django.conf import settings
from django.core.cache import cache

from apps.live import connection_limit


@pytest.fixture(autouse=True)
def _empty_cache():
    cache.clear()


def acquire_all():
    return [connection_limit.acquire(1) for _ in range(settings.LIVE_SOCKETS_PER_USER)]


def test_a_user_has_a_limited_number_of_slots():
    slots = acquire_all()

    assert len(set(slots)) == settings.LIVE_SOCKETS_PER_USER
    assert connection_limit.acquire(1) is None
    connection_limit.release(slots[3])
    assert connection_limit.acquire(1) == slots[3]


def test_slots_of_a_crashed_process_expire_unless_they_are_renewed():
    key = cache.make_key(connection_limit.acquire(1))

    with redis.Redis.from_url(settings.CACHES["default"]["LOCATION"]) as client:
        assert 0 < client.ttl(key) <= 3 * settings.LIVE_PING_INTERVAL
        client.expire(key, 1)
        connection_limit.renew("live:1:0")
        assert client.ttl(key) > 2 * settings.LIVE_PING_INTERVAL
