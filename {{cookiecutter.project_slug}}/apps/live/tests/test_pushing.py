import asyncio
import logging
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

from apps.live import pushing
from apps.live.outages import OncePerOutage
from apps.live.pushing import push, sender
from apps.notifications.models import Notification
from apps.notifications.services import notify

WARNED = "live_layer_does_not_answer"


async def heard_of(group, act):
    """Return the next message to a group after `act`, which runs in another thread."""
    layer = get_channel_layer()
    channel = await layer.new_channel()
    await layer.group_add(group, channel)
    await asyncio.to_thread(act)
    return await asyncio.wait_for(layer.receive(channel), 5)


def hears(act):
    message = async_to_sync(heard_of)("user.1", act)
    return message["content"]


def push_in_a_child():
    with warnings.catch_warnings(action="ignore"):
        child = os.fork()
    if not child:
        push("user.1", {"from": "child"})
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def test_a_child_of_a_process_that_has_pushed_pushes():
    push("user.0", {"from": "parent"})

    assert hears(push_in_a_child) == {"from": "child"}


def test_a_hundred_messages_take_one_connection():
    def connections():
        return client.info("stats")["total_connections_received"]

    with redis.Redis.from_url(settings.REDIS_URL) as client:
        push("user.1", {})
        before = connections()
        for _ in range(100):
            push("user.1", {})

        assert connections() - before < 10  # the worker of other tests makes some, too


@pytest.mark.parametrize("trouble", ["stop", "hang"])
@pytest.mark.django_db(transaction=True)
def test_without_redis_one_caller_waits_and_one_line_is_written(ann, redis_server, trouble):
    getattr(redis_server, trouble)()
    with capture_logs() as logs:
        started = time.monotonic()
        notify(ann, "booking", "The first")
        waited = time.monotonic() - started
        for _ in range(10):
            notify(ann, "booking", "One more")

    assert waited < 1
    assert time.monotonic() - started - waited < 0.5
    assert [line["event"] for line in logs] == [WARNED]
    assert Notification.objects.count() == 11


def test_each_outage_is_written_down_once(monkeypatch, redis_server):
    monkeypatch.setattr(sender.circuit, "reset_after", timedelta(0))
    with capture_logs() as logs:
        for _ in range(2):
            redis_server.stop()
            push("user.1", {})
            push("user.1", {})
            redis_server.restart()
            push("user.1", {})

    assert [line["event"] for line in logs] == [WARNED, WARNED]


def test_messages_go_through_again_when_redis_has_been_back_for_a_while(monkeypatch, redis_server):
    monkeypatch.setattr(sender.circuit, "reset_after", timedelta(seconds=0.2))
    redis_server.stop()
    push("user.1", {})
    redis_server.restart()
    time.sleep(0.2)

    assert hears(lambda: push("user.1", {"back": True})) == {"back": True}


def test_a_network_that_vanishes_costs_one_message(monkeypatch, redis_server):
    monkeypatch.setattr(sender.circuit, "reset_after", timedelta(0))
    with redis_server.behind_a_blackhole() as hole:
        config = settings.CHANNEL_LAYERS["default"]["CONFIG"]
        hosts = [{"address": f"redis://127.0.0.1:{hole.port}/0"}]
        layer = type(get_channel_layer())(**{**config, "hosts": hosts})
        monkeypatch.setattr(pushing, "get_channel_layer", lambda: layer)
        push("user.1", {})
        hole.swallow()
        push("user.1", {"lost": True})

        assert hears(lambda: push("user.1", {"lost": False})) == {"lost": False}


def test_what_fails_every_second_is_written_down_when_it_begins():
    once = OncePerOutage()
    seconds = [1000, 1001, 1030, 1061, 1200, 1201]

    passed = [
        second for second in seconds if once.filter(logging.makeLogRecord({"created": second}))
    ]
    assert passed == [1000, 1200]
