"""What happens to a message while a worker receives it, and whether durable/broker/transport.py is still needed."""

import json
import time

import kombu
import pytest
import redis
from celery import current_app
from django.conf import settings
from kombu import Consumer, Producer, Queue
from kombu.transport.redis import QoS as KombuQoS
from redis.exceptions import ConnectionError as RedisConnectionError

from durable.broker.connection import AMQP, Connection
from durable.broker.transport import Channel, QoS, SentinelTransport, Transport
from durable.testing.workers import TIMEOUT, wait_until

QUEUES = [
    Queue(f"transport.{name}", routing_key=f"transport.{name}") for name in ("first", "second")
]
FIRST, SECOND = (queue.name for queue in QUEUES)
KEYS = (FIRST, SECOND, f"{FIRST}\x06\x169", "unacked", "unacked_index")
DELETE = "kombu does this by itself now: delete {} from durable/broker/transport.py, and its tests"


@pytest.fixture
def client():
    with redis.Redis.from_url(settings.REDIS_URL, decode_responses=True) as client:
        client.delete(*KEYS)
        yield client
        client.config_set("maxmemory", 0)
        client.delete(*KEYS)


@pytest.fixture
def consume(client):
    """A function that starts a consumer and returns its connection; `received` holds its messages."""
    connections = []

    def consume(*queues, connection=None, **options):
        connection = connection or Connection(settings.REDIS_URL)
        connections.append(connection)
        connection.received = []
        consumer = Consumer(
            connection.default_channel, queues, on_message=connection.received.append, **options
        )
        consumer.consume()
        return connection

    yield consume
    for connection in connections:
        connection.default_channel.qos._on_collect.cancel()  # restores nothing when the tests end
        connection.collect()


def publish(body, queue, **options):
    with Connection(settings.REDIS_URL) as connection:
        Producer(connection).publish(body, routing_key=queue, exchange="", **options)


def drain(connection, seconds=TIMEOUT):
    """Return the bodies of all messages received so far, as soon as there is another one."""
    connection.drain_events(timeout=seconds)
    return [message.decode() for message in connection.received]


def wait(connection, seconds=0.1):
    with pytest.raises(TimeoutError):
        connection.drain_events(timeout=seconds)


def restore(connection):
    """Requeue all unacked messages, as when the visibility time-out is over."""
    qos = connection.default_channel.qos
    for tag in connection.default_channel.client.hkeys("unacked"):
        qos.restore_by_tag(tag.decode())


def lose_the_reply(consume, client, hole, connection_class):
    """Let Redis pop a message for a waiting consumer whose network is cut off."""
    consumer = consume(QUEUES[0], connection=connection_class(f"redis://127.0.0.1:{hole.port}/0"))
    wait(consumer)
    hole.swallow()
    publish("cut off", FIRST)
    wait_until(lambda: not client.exists(FIRST))


@pytest.fixture
def hole(redis_server):
    with redis_server.behind_a_blackhole() as hole:
        yield hole


def test_a_message_whose_receiver_is_cut_off_is_delivered_again(consume, client, hole):
    lose_the_reply(consume, client, hole, Connection)

    another = consume(QUEUES[0])
    restore(another)

    assert drain(another) == ["cut off"]
    assert another.received[0].delivery_info["redelivered"]


def test_atomic_receive_is_still_needed(consume, client, hole):
    lose_the_reply(consume, client, hole, kombu.Connection)

    assert not client.exists("unacked"), DELETE.format("RECEIVE and what sends it")


def test_a_message_is_tracked_before_its_receiver_can_die(consume, client, monkeypatch):
    def die(*_):
        raise RedisConnectionError("killed")

    publish({"who": "ü"}, FIRST, headers={"a": [1.5, None]})
    (published,) = client.lrange(FIRST, 0, -1)
    monkeypatch.setattr(QoS, "append", die)
    monkeypatch.setattr(QoS, "_remove_from_indices", die)

    with pytest.raises(RedisConnectionError):
        consume(QUEUES[0]).drain_events(timeout=TIMEOUT)

    (entry,) = client.hvals("unacked")
    assert json.loads(entry) == [json.loads(published), "", FIRST]


def test_a_message_is_tracked_as_kombu_does(consume, client):
    publish(1, FIRST)
    consumer = consume(QUEUES[0])
    drain(consumer)
    ours = client.hgetall("unacked"), client.zscore("unacked_index", *client.hkeys("unacked"))
    message = consumer.received[0]
    KombuQoS.append(consumer.default_channel.qos, message, message.delivery_tag)

    assert client.hgetall("unacked") == ours[0]
    assert ours[1] == pytest.approx(time.time(), abs=2)


def test_an_acknowledged_message_is_no_longer_tracked(consume, client):
    publish(1, FIRST)
    consumer = consume(QUEUES[0])
    drain(consumer)
    consumer.received[0].ack()

    assert not client.exists(*KEYS)


def test_a_message_that_needs_no_acknowledgement_is_not_tracked(consume, client):
    publish(1, FIRST)

    assert drain(consume(QUEUES[0], no_ack=True)) == [1]
    assert not client.exists(*KEYS)


@pytest.mark.parametrize("queue", QUEUES, ids=["the first queue", "the second queue"])
def test_a_waiting_consumer_receives_from_each_of_its_queues_at_once(consume, queue):
    consumer = consume(*QUEUES)
    wait(consumer)
    publish(1, queue.name)
    began = time.monotonic()

    assert drain(consumer) == [1]
    assert time.monotonic() - began < 0.5


def test_queues_take_turns(consume):
    for number in range(2):
        publish(f"first {number}", FIRST)
        publish(f"second {number}", SECOND)
    consumer = consume(*QUEUES)
    for _ in range(4):
        drain(consumer)

    assert [message.decode() for message in consumer.received] == [
        "first 0",
        "second 0",
        "first 1",
        "second 1",
    ]


def test_messages_of_each_priority_are_received(consume):
    publish("later", FIRST, priority=9)
    publish("sooner", FIRST)
    consumer = consume(QUEUES[0])
    drain(consumer)

    assert drain(consumer) == ["sooner", "later"]


@pytest.mark.parametrize("unreadable", ["no json", '"text"', "{}", "[" * 2000], ids=len)
def test_an_unreadable_message_is_logged_and_replaced_by_an_empty_one(
    consume, client, caplog, unreadable
):
    client.lpush(FIRST, unreadable)
    publish("next", FIRST)
    consumer = consume(QUEUES[0])
    consumer.drain_events(timeout=TIMEOUT)

    assert drain(consumer) == [b"", "next"]
    assert "message_unreadable" in caplog.text
    assert client.hlen("unacked") == 2


def test_replacing_unreadable_messages_is_still_needed(consume, client):
    client.lpush(FIRST, "no json")
    try:
        consume(QUEUES[0], connection=kombu.Connection(settings.REDIS_URL)).drain_events(
            timeout=TIMEOUT
        )
    except ValueError:
        return
    pytest.fail(DELETE.format("parse_message"))


def test_a_consumer_receives_and_then_waits_calmly_while_redis_is_out_of_memory(
    consume, client, monkeypatch
):
    polls = []
    poll = Channel._brpop_start
    publish(1, FIRST)
    consumer = consume(QUEUES[0])
    client.config_set("maxmemory", 1)

    assert drain(consumer) == [1]
    monkeypatch.setattr(Channel, "_brpop_start", lambda channel: polls.append(poll(channel)))
    wait(consumer, seconds=2.5)
    assert 2 < len(polls) < 10


def test_a_consumer_without_a_free_slot_receives_nothing(consume, client):
    consumer = consume(QUEUES[0])
    consumer.default_channel.basic_qos(0, 1, apply_global=False)
    publish(1, FIRST)
    publish(2, FIRST)
    drain(consumer)

    wait(consumer)
    assert client.llen(FIRST) == 1


def test_one_of_many_waiting_consumers_receives_a_message(consume, client):
    consumers = [consume(QUEUES[0]) for _ in range(5)]
    for consumer in consumers:
        wait(consumer, seconds=0.05)
    publish(1, FIRST)
    wait_until(lambda: not client.exists(FIRST))
    for consumer in consumers:
        try:
            consumer.drain_events(timeout=0.1)
        except TimeoutError:
            continue

    assert sum(len(consumer.received) for consumer in consumers) == 1


@pytest.mark.parametrize(
    ("url", "transport"),
    [
        ("redis://localhost", Transport),
        ("rediss://localhost?ssl_cert_reqs=required", Transport),
        ("redis+socket:///run/redis.sock", Transport),
        ("sentinel://localhost", SentinelTransport),
        ("memory://", kombu.transport.get_transport_cls("memory")),
    ],
)
def test_every_connection_has_the_transport_of_its_url(url, transport):
    connection = Connection(url)

    for each in (connection, connection.clone(), connection.Pool(limit=1).acquire()):
        assert type(each.transport) is transport


def test_a_failover_to_another_url_keeps_the_transport():
    connection = Connection("redis://first;redis://second")
    connection.maybe_switch_next()

    assert connection.hostname == "second"
    assert type(connection.transport) is Transport


def test_the_app_makes_all_its_connections_with_this_transport():
    assert isinstance(current_app.amqp, AMQP)
    for connection in (
        current_app.connection_for_read(),
        current_app.connection_for_write(),
        current_app.pool.connection,
        current_app.producer_pool.connections.connection,
    ):
        assert type(connection.default_channel) is Channel
        connection.close()
