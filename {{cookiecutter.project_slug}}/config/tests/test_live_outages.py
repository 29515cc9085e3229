"""Live updates without Redis: one caller waits, one line is logged, and nothing else fails."""

import asyncio
import os
import time
import warnings
from datetime import timedelta

import pytest
import redis
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.conf import settings
from structlog.testing import capture_logs
from websockets.exceptions import InvalidStatus

from apps.live import connection_limit
from apps.live import sender as module
from apps.live.sender import send, sender
from apps.live.tests import test_consumers
from apps.live.tests.test_consumers import PING, Page
from apps.notifications.models import Notification
from apps.notifications.services import notify
from durable.testing.workers import wait_until

WARNING = "channel_layer_unreachable"
# Fixtures.
open_page, server = test_consumers.open_page, test_consumers.server


async def next_message(group, act):
    """Return the next message to a group after `act`, which runs in another thread."""
    layer = get_channel_layer()
    channel = await layer.new_channel()
    await layer.group_add(group, channel)
    await asyncio.to_thread(act)
    return await asyncio.wait_for(layer.receive(channel), 60)


def received(act):
    message = async_to_sync(next_message)("user.1", act)
    return message["content"]


def send_in_a_child():
    with warnings.catch_warnings(action="ignore"):
        child = os.fork()
    if not child:
        send("user.1", {"from": "child"})
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def test_a_forked_child_can_send():
    send("user.0", {"from": "parent"})

    assert received(send_in_a_child) == {"from": "child"}


def test_all_messages_use_one_connection():
    def connections():
        return client.info("stats")["total_connections_received"]

    with redis.Redis.from_url(settings.REDIS_URL) as client:
        send("user.1", {})
        before = connections()
        for _ in range(100):
            send("user.1", {})

        assert connections() - before < 10  # a worker of other tests opens some, too


@pytest.fixture
def ann(django_user_model):
    return django_user_model.objects.create_user("ann@example.com", "a long password")


@pytest.mark.parametrize("fault", ["stop", "hang"])
@pytest.mark.django_db(transaction=True)
def test_without_redis_one_caller_waits_and_one_line_is_logged(ann, redis_server, settings, fault):
    settings.BROKER_CIRCUIT_RESET = timedelta(minutes=1)
    getattr(redis_server, fault)()
    with capture_logs() as logs:
        started = time.monotonic()
        notify(ann, "booking", "The first")
        waited = time.monotonic() - started
        for _ in range(10):
            notify(ann, "booking", "One more")

    assert waited < 5
    assert time.monotonic() - started - waited < 2.5  # ten time-outs take 5 s
    assert [line["event"] for line in logs] == [WARNING]
    assert Notification.objects.count() == 11


def test_each_outage_is_logged_once(monkeypatch, redis_server):
    monkeypatch.setattr(sender.circuit, "reset_after", timedelta(0))
    with capture_logs() as logs:
        for _ in range(2):
            redis_server.stop()
            send("user.1", {})
            send("user.1", {})
            redis_server.restart()
            send("user.1", {})

    assert [line["event"] for line in logs] == [WARNING, WARNING]


def test_messages_are_sent_again_after_redis_is_back(redis_server):
    redis_server.stop()
    send("user.1", {})
    redis_server.restart()
    time.sleep(settings.BROKER_CIRCUIT_RESET.total_seconds())

    assert received(lambda: send("user.1", {"back": True})) == {"back": True}


def test_a_vanished_network_loses_one_message(monkeypatch, redis_server):
    monkeypatch.setattr(sender.circuit, "reset_after", timedelta(0))
    with redis_server.behind_a_blackhole() as hole:
        config = settings.CHANNEL_LAYERS["default"]["CONFIG"]
        hosts = [{"address": f"redis://127.0.0.1:{hole.port}/0"}]
        layer = type(get_channel_layer())(**{**config, "hosts": hosts})
        monkeypatch.setattr(module, "get_channel_layer", lambda: layer)
        send("user.1", {})
        hole.swallow()
        send("user.1", {"lost": True})

        assert received(lambda: send("user.1", {"lost": False})) == {"lost": False}


@pytest.mark.parametrize("fault", ["stop", "hang"])
def test_without_the_cache_there_is_no_limit_and_one_caller_waits(redis_server, settings, fault):
    settings.BROKER_CIRCUIT_RESET = timedelta(minutes=1)
    getattr(redis_server, fault)()
    assert connection_limit.acquire(1)
    started = time.monotonic()
    slots = [connection_limit.acquire(1), connection_limit.acquire(1)]
    for slot in slots:
        connection_limit.renew(slot)
        connection_limit.release(slot)

    assert all(slots)
    assert time.monotonic() - started < 1.5  # six time-outs take 3 s


def gets_no_ping(page, timeout):
    try:
        return not page.next("ping", timeout=timeout)
    except TimeoutError:
        return True


@pytest.mark.django_db(transaction=True)
def test_pages_stay_open_or_reconnect_after_redis_was_down(ann, open_page, redis_server):
    page = open_page(ann)
    page.next("ping")  # from now on, the server notices that Redis stops
    redis_server.stop()
    with pytest.raises(InvalidStatus, match="403"), Page(ann):
        pass
    wait_until(lambda: gets_no_ping(page, PING))  # some were sent before
    redis_server.restart()

    page.next("ping")
    assert open_page(ann).hello
    notify(ann, "booking", "A new booking")
    assert page.next("notification")


@pytest.mark.django_db(transaction=True)
def test_there_are_no_pings_while_redis_hangs(ann, open_page, redis_server):
    page = open_page(ann)
    redis_server.hang()

    wait_until(lambda: gets_no_ping(page, 4 * PING))
