"""What becomes of a message while a worker takes it, and whether durable/broker/transport.py is still needed."""

import json
import time

import pytest
import redis
from django.conf import settings
from kombu import Connection, Consumer, Producer, Queue
from kombu.transport.redis import Channel, QoS
from redis.exceptions import ConnectionError as RedisConnectionError

from durable.broker import transport
from durable.testing.workers import wait_until

QUEUES = [Queue(f"taking.{name}", routing_key=f"taking.{name}") for name in ("first", "second")]
FIRST, SECOND = (queue.name for queue in QUEUES)
KEYS = (FIRST, SECOND, f"{FIRST}\x06\x169", "unacked", "unacked_index")
DELETE = "kombu does this by itself now: delete durable/broker/transport.py and these tests"


@pytest.fixture
def client():
    with redis.Redis.from_url(settings.REDIS_URL, decode_responses=True) as client:
        client.delete(*KEYS)
        yield client
        client.config_set("maxmemory", 0)
        client.delete(*KEYS)


@pytest.fixture
def consume(client):
    """A function that lets a consumer listen; what it got is in its list `taken`."""
    connections = []

    def consume(*queues, url=settings.REDIS_URL, **options):
        connection = Connection(url)
        connections.append(connection)
        connection.taken = []
        consumer = Consumer(
            connection.default_channel, queues, on_message=connection.taken.append, **options
        )
        consumer.consume()
        return connection

    yield consume
    for connection in connections:
        connection.default_channel.qos._on_collect.cancel()  # gives nothing back when the tests end
        connection.collect()


def publish(body, queue, **options):
    with Connection(settings.REDIS_URL) as connection:
        Producer(connection).publish(body, routing_key=queue, exchange="", **options)


def drain(connection, seconds=2.0):
    """Return what the consumer's messages hold as soon as there is a new one."""
    connection.drain_events(timeout=seconds)
    return [message.decode() for message in connection.taken]


def wait(connection, seconds=0.1):
    with pytest.raises(TimeoutError):
        connection.drain_events(timeout=seconds)


def restore(connection):
    """Hand out again what is noted, as when the visibility time-out is over."""
    qos = connection.default_channel.qos
    for tag in connection.default_channel.client.hkeys("unacked"):
        qos.restore_by_tag(tag.decode())


def break_noting(monkeypatch):
    def fail(*_):
        raise RedisConnectionError("killed")

    monkeypatch.setattr(QoS, "append", fail)


def take_kombus_way(monkeypatch):
    monkeypatch.setattr(Channel, "_brpop_start", transport.brpop_start)
    monkeypatch.setattr(Channel, "_brpop_read", transport.brpop_read)


def lose_the_answer(consume, client, hole):
    """Let Redis hand out a message to a waiting consumer whose network has vanished."""
    consumer = consume(*QUEUES[:1], url=f"redis://127.0.0.1:{hole.port}/0")
    wait(consumer)
    hole.swallow()
    publish("lost on its way", FIRST)
    wait_until(lambda: not client.exists(FIRST))


@pytest.fixture
def hole(redis_server):
    with redis_server.behind_a_hole() as hole:
        yield hole


def test_a_message_whose_taker_is_cut_off_comes_again(consume, client, hole):
    lose_the_answer(consume, client, hole)

    another = consume(QUEUES[0])
    restore(another)

    assert drain(another) == ["lost on its way"]
    assert another.taken[0].delivery_info["redelivered"]


def test_taking_and_noting_at_once_is_still_needed(consume, client, hole, monkeypatch):
    take_kombus_way(monkeypatch)

    lose_the_answer(consume, client, hole)

    assert not client.exists("unacked"), DELETE


def test_a_message_whose_taker_dies_before_it_can_note_anything_is_noted(
    consume, client, monkeypatch
):
    publish({"who": "ü"}, FIRST, headers={"a": [1.5, None]})
    (published,) = client.lrange(FIRST, 0, -1)
    break_noting(monkeypatch)
    monkeypatch.setattr(QoS, "_remove_from_indices", QoS.append)  # dies before this, too

    with pytest.raises(RedisConnectionError):
        consume(QUEUES[0]).drain_events(timeout=1)

    (entry,) = client.hvals("unacked")
    assert json.loads(entry) == [json.loads(published), "", FIRST]


def test_the_note_is_the_one_that_kombu_makes(consume, client, monkeypatch):
    publish(1, FIRST)
    consumer = consume(QUEUES[0])
    drain(consumer)
    ours = client.hgetall("unacked"), client.zscore("unacked_index", *client.hkeys("unacked"))
    transport.append(
        consumer.default_channel.qos, consumer.taken[0], consumer.taken[0].delivery_tag
    )

    assert client.hgetall("unacked") == ours[0]
    assert ours[1] == pytest.approx(time.time(), abs=2)


def test_an_acknowledged_message_is_noted_no_longer(consume, client):
    publish(1, FIRST)
    consumer = consume(QUEUES[0])
    drain(consumer)
    consumer.taken[0].ack()

    assert not client.exists(*KEYS)


def test_a_message_that_needs_no_acknowledgement_is_not_noted(consume, client):
    publish(1, FIRST)

    assert drain(consume(QUEUES[0], no_ack=True)) == [1]
    assert not client.exists(*KEYS)


@pytest.mark.parametrize("queue", QUEUES, ids=["the first queue", "the second queue"])
def test_a_waiting_consumer_takes_from_any_of_its_queues_at_once(consume, queue):
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

    assert [message.decode() for message in consumer.taken] == [
        "first 0",
        "second 0",
        "first 1",
        "second 1",
    ]


def test_messages_with_priorities_are_taken(consume):
    publish("later", FIRST, priority=9)
    publish("sooner", FIRST)
    consumer = consume(QUEUES[0])
    drain(consumer)

    assert drain(consumer) == ["sooner", "later"]


@pytest.mark.parametrize("foreign", ["no json", '"text"', "{}", "[" * 2000], ids=len)
def test_what_is_no_message_is_logged_and_the_next_one_taken(consume, client, caplog, foreign):
    client.lpush(FIRST, foreign)
    publish("next", FIRST)
    consumer = consume(QUEUES[0])
    consumer.drain_events(timeout=1)

    assert drain(consumer) == ["next"]
    assert "no_message" in caplog.text
    assert client.hlen("unacked") == 1


def test_a_consumer_takes_and_then_waits_calmly_while_redis_is_full(consume, client, monkeypatch):
    asked = []
    publish(1, FIRST)
    consumer = consume(QUEUES[0])
    client.config_set("maxmemory", 1)

    assert drain(consumer) == [1]
    monkeypatch.setattr(
        Channel, "_brpop_start", lambda channel: asked.append(transport.ask(channel))
    )
    wait(consumer, seconds=2.5)
    assert 2 < len(asked) < 10


def test_a_consumer_that_has_enough_takes_none(consume, client):
    consumer = consume(QUEUES[0])
    consumer.default_channel.basic_qos(0, 1, apply_global=False)
    publish(1, FIRST)
    publish(2, FIRST)
    drain(consumer)

    wait(consumer)
    assert client.llen(FIRST) == 1


def test_many_that_wait_take_one_message_once(consume, client):
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

    assert sum(len(consumer.taken) for consumer in consumers) == 1
