"""Two services share one database of one Redis: each receives, counts and clears its own only."""

import kombu
import pytest
import redis
from celery import Celery, current_app
from django.conf import settings
from django.core.cache import cache
from kombu import Consumer, Queue
from kombu.exceptions import ChannelError

from durable.broker.queues import queue_lengths
from durable.cache import RedisCache
from durable.testing.workers import TIMEOUT, wait_until
from durable.tests import probes

pytestmark = pytest.mark.django_db(transaction=True)

STRANGER = {
    **settings.CELERY_BROKER_TRANSPORT_OPTIONS,
    "global_keyprefix": "stranger:broker:",
    "socket_timeout": 5,
}
MESSAGES = 3
DELETE = "kombu does this right by itself now: delete {} from durable/broker, and its tests"


@pytest.fixture
def client():
    with redis.Redis.from_url(settings.REDIS_URL, decode_responses=True) as client:
        yield client
        if keys := client.keys("stranger:*"):
            client.delete(*keys)


@pytest.fixture
def stranger(client):
    """The Celery app of the other service; its queues and tasks have the same names."""
    app = Celery(
        "stranger",
        set_as_current=False,
        amqp="durable.broker.connection:AMQP",
        control="durable.broker.connection:Control",
    )
    app.config_from_object("django.conf:settings", namespace="CELERY")
    app.conf.broker_transport_options = STRANGER
    yield app
    app.close()


def send(stranger):
    for number in range(MESSAGES):
        stranger.send_task("tests.echo", (f"of the stranger {number}",))


def waiting(app):
    with app.connection_for_read() as connection:
        declare = connection.default_channel.queue_declare
        return sum(declare(queue.name).message_count for queue in app.conf.task_queues)


@pytest.mark.usefixtures("worker")
def test_a_worker_leaves_the_messages_of_the_other_service(stranger):
    send(stranger)
    for number in range(MESSAGES):
        probes.echo.delay(f"own {number}")

    wait_until(lambda: len(probes.ran()) >= MESSAGES)

    assert sorted(probes.ran()) == ["own 0", "own 1", "own 2"]
    assert waiting(stranger) == MESSAGES


@pytest.mark.usefixtures("worker")
def test_workers_answer_the_control_commands_of_their_service_only(stranger):
    assert len(current_app.control.ping(timeout=TIMEOUT, limit=1)) == 1
    assert stranger.control.ping(timeout=1) == []


def test_purging_the_queues_and_clearing_the_cache_leaves_the_other_service_alone(stranger):
    cache_of_stranger = RedisCache(settings.REDIS_URL, {"KEY_PREFIX": "stranger:cache"})
    cache_of_stranger.set("kept", 1)
    send(stranger)

    current_app.control.purge()
    cache.clear()

    assert sum(queue_lengths().values()) == 0
    assert cache_of_stranger.get("kept") == 1
    assert stranger.control.purge() == MESSAGES


def keys_with(app, client):
    """Let an app publish and receive; return the keys in Redis while a message is unacked."""
    queue = Queue("left", routing_key="left", exchange="left")
    app.control.ping(timeout=0.1)
    with app.connection_for_write() as connection, connection.channel() as channel:
        for priority in (0, 9):
            kombu.Producer(channel).publish(
                {},
                exchange=queue.exchange,
                routing_key="left",
                declare=[queue],
                priority=priority,
            )
        Consumer(channel, [queue], on_message=id).consume()
        connection.drain_events(timeout=TIMEOUT)
        return set(client.keys("*"))


def test_every_key_in_redis_starts_with_the_prefix_of_its_service(stranger, client):
    before = set(client.keys("*"))
    cache.set("left", 1)

    keys = keys_with(stranger, client) | keys_with(current_app, client)

    own = {f"tests:broker:{name}" for name in ("left\x06\x169", "unacked", "unacked_index")}
    assert own | {key.replace("tests:", "stranger:") for key in own} <= keys
    assert not [key for key in keys - before if not key.startswith(("tests:", "stranger:"))]
    client.delete(*client.keys("tests:broker:*left*"))


def declare_passively(connection):
    with connection:
        connection.default_channel.client.lpush("stranger", "a message")
        return connection.default_channel.queue_declare("stranger", passive=True).message_count


def test_a_queue_can_be_found_without_declaring_it(stranger):
    assert declare_passively(stranger.connection_for_read()) == 1


@pytest.mark.usefixtures("client")
def test_finding_a_queue_by_its_length_is_still_needed():
    connection = kombu.Connection(settings.REDIS_URL, transport_options=STRANGER)
    try:
        declare_passively(connection)
    except ChannelError:
        return
    pytest.fail(DELETE.format("Channel._has_queue"))
