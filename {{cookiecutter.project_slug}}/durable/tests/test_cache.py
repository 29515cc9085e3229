import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis
from django.conf import settings as django_settings
from django.core.cache import cache
from redis.exceptions import RedisError, ResponseError

from durable.cache import RedisCache
from durable.errors import CircuitOpenError

CALLS = 20
SLOW = 0.2  # seconds; a call takes a thousandth of it


@pytest.fixture
def client():
    with redis.Redis.from_url(django_settings.REDIS_URL) as client:
        yield client


@pytest.fixture(autouse=True)
def _empty():
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def cache_of():
    """A function that returns the cache of another service on the same Redis."""

    def cache_of(prefix):
        return RedisCache(django_settings.REDIS_URL, {"KEY_PREFIX": prefix})

    return cache_of


class Trap:
    """Touches a file when it is unpickled."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def test_a_pickle_in_a_key_runs_no_code_and_counts_as_missing(client, tmp_path, caplog):
    trap = tmp_path / "trap"
    client.set(cache.make_key("planted"), pickle.dumps(Trap(trap)))

    assert cache.get("planted", "missing") == "missing"
    assert cache.get_many(["planted"]) == {}
    assert not trap.exists()
    assert "cache_unreadable" in caplog.text


@pytest.mark.parametrize("planted", [b"", b"\xff", b"{", b"[" * 100_000], ids=range(4))
def test_what_is_no_json_counts_as_missing(client, planted):
    client.set(cache.make_key("planted"), planted)

    assert cache.get("planted") is None


@pytest.mark.parametrize(
    "value", [None, True, 0, -5, 1.5, "ü\ud83d\x00", [], [1, [2]], {}, {"a": {"b": None}}], ids=repr
)
def test_json_comes_back_as_it_was_written(value):
    cache.set("one", value)
    cache.set_many({"two": value, "three": value})

    assert cache.get("one", "missing") == value
    assert cache.get_many(["two", "three"]) == {"two": value, "three": value}


@pytest.mark.parametrize(
    "value",
    [b"", {1}, (1, 2), {1: "a"}, datetime.now(UTC), timedelta(1), object(), float("nan"), [[()]]],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_json_is_refused_where_it_is_written(value):
    for write in (cache.set, cache.add, lambda key, value: cache.set_many({key: value})):
        with pytest.raises(TypeError, match="cache strings, numbers, lists"):
            write("one", value)

    assert cache.get("one") is None


def test_a_list_that_holds_itself_is_refused():
    endless = []
    endless.append(endless)

    with pytest.raises(TypeError, match="Circular"):
        cache.set("one", endless)


def test_a_stored_number_counts():
    cache.add("number", 0)

    assert [cache.incr("number"), cache.decr("number", 3), cache.get("number")] == [1, -2, -2]


@pytest.mark.parametrize("prefix", ["other", "test", "tests:cach", "tests", "*", "[t]ests"])
def test_clearing_a_cache_leaves_all_other_keys_alone(client, cache_of, prefix):
    other = cache_of(prefix)
    other.set("kept", 1)
    client.lpush("tests:broker:queue", "a message")
    cache.set_many({str(number): number for number in range(2500)})
    cache.set("versioned", 1, version=2)

    cache.clear()

    assert list(client.scan_iter(match="tests:cache:*")) == []
    assert client.lpop("tests:broker:queue") == b"a message"
    assert other.get("kept") == 1


@pytest.mark.parametrize("prefix", ["*", "[t]ests", "te?ts", "tests\\"])
def test_a_prefix_with_characters_of_patterns_clears_its_own_keys(cache_of, prefix):
    odd = cache_of(prefix)
    odd.set("key", 1)
    cache.set("kept", 1)

    odd.clear()

    assert odd.get("key") is None
    assert cache.get("kept") == 1


def timed(call):
    started = time.monotonic()
    with pytest.raises(RedisError):
        call()
    return time.monotonic() - started


CALLABLE = [
    lambda: cache.get("key"),
    lambda: cache.set("key", 1),
    lambda: cache.add("key", 1),
    lambda: cache.incr("key"),
    lambda: cache.touch("key"),
    lambda: cache.delete("key"),
    lambda: cache.get_many(["key"]),
    lambda: cache.set_many({"key": 1}),
    lambda: cache.delete_many(["key"]),
    lambda: cache.has_key("key"),
    cache.clear,
]


@pytest.mark.parametrize("first", CALLABLE, ids=range(len(CALLABLE)))
def test_a_redis_that_hangs_costs_one_call_its_time_out(redis_server, settings, first):
    settings.BROKER_CIRCUIT_RESET = timedelta(minutes=1)
    redis_server.hang()

    times = [timed(call) for call in (first, *CALLABLE)]

    assert times[0] < 5
    assert max(times[1:]) < SLOW


def test_a_hang_delays_each_of_the_calls_at_its_begin_once(redis_server, settings):
    settings.BROKER_CIRCUIT_RESET = timedelta(minutes=1)
    redis_server.hang()
    started = time.monotonic()

    with ThreadPoolExecutor(4) as threads:
        times = list(threads.map(lambda _: timed(lambda: cache.get("key")), range(CALLS)))

    assert sum(each > SLOW for each in times) <= 4
    assert time.monotonic() - started < 1.5


def test_a_refused_call_says_since_when(redis_server, settings):
    settings.BROKER_CIRCUIT_RESET = timedelta(minutes=1)
    redis_server.stop()
    timed(lambda: cache.get("key"))

    with pytest.raises(CircuitOpenError, match="Redis has not answered since"):
        cache.get("key")


def test_threads_share_their_connections(client):
    def ask():
        own = RedisCache(django_settings.REDIS_URL, {"OPTIONS": {"client_name": "short"}})
        return own.get("any", "missing")

    for _ in range(5):
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(ask).result() == "missing"

    assert [each["name"] for each in client.client_list()].count("short") == 1


def test_a_mistake_of_one_caller_stops_no_other(settings):
    settings.BROKER_CIRCUIT_RESET = timedelta(minutes=1)
    cache.set("text", "a")

    with pytest.raises(ResponseError):
        cache.incr("text")

    assert cache.get("text") == "a"
