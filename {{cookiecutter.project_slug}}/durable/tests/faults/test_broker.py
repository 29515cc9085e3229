"""What Redis and the network do to workers and publishers, and whether durable/broker is still needed."""

import time
from contextlib import suppress
from datetime import timedelta

import kombu
import pytest
import redis
from celery import current_app
from celery.app import control
from django.conf import settings
from kombu import Consumer, Producer, Queue
from kombu.common import ignore_errors
from kombu.exceptions import OperationalError

from durable.broker import connection
from durable.broker.circuit import circuit
from durable.broker.connection import Connection
from durable.health import cli
from durable.mail.api import send_email
from durable.tasks.tasks import heartbeat
from durable.testing.servers import free_port
from durable.testing.workers import TIMEOUT, wait_until
from durable.tests import probes

QUEUES = [Queue("faults.first", routing_key="faults.first"), Queue("faults.second")]
DELETE = "kombu does this right by itself now: delete {} from durable/broker, and its tests"


@pytest.fixture
def hole(redis_server):
    with redis_server.behind_a_blackhole() as hole:
        yield hole


@pytest.fixture(params=[Connection])
def consumer(hole, request):
    """A consumer like a worker's: it polls on two channels and has received a message."""
    connection = request.param(f"redis://127.0.0.1:{hole.port}/0")
    connection.received = []
    channels = (connection.default_channel, connection.channel())
    for channel, queue in zip(channels, QUEUES, strict=True):
        Consumer(channel, [queue], on_message=connection.received.append).consume()
    Producer(connection).publish({}, routing_key="faults.first", exchange=QUEUES[0].exchange)
    connection.default_channel.basic_qos(0, 2, apply_global=False)
    connection.drain_events(timeout=TIMEOUT)
    wait_until(lambda: both_wait(channels))
    qos = connection.default_channel.qos
    yield connection
    qos._on_collect.cancel()  # would try to restore the message when the tests end


with_kombus_own = pytest.mark.parametrize("consumer", [kombu.Connection], indirect=True)


def both_wait(channels):
    """Poll; return whether Redis keeps both channels waiting, with no reply on its way."""
    with suppress(TimeoutError):
        channels[0].connection.client.drain_events(timeout=0.01)
    return all(channel._in_poll and getattr(channel, "waits_first", True) for channel in channels)


def error_of_closing_a_lost_connection(connection, hole):
    """Do what Celery's consumer does when its broker has died."""
    hole.close()
    connection.collect()
    try:
        ignore_errors(connection, connection.close)
    except AttributeError as error:
        return error
    return None


def receives_another_after_a_failed_acknowledgement(connection, hole):
    (message,) = connection.received
    connection.default_channel.basic_qos(0, 1, apply_global=False)
    hole.close()
    with pytest.raises(connection.connection_errors):
        message.ack()
    return connection.default_channel.qos.can_consume()


def first_interval_between_attempts(connection_class):
    def stop(_error, interval):
        raise StopIteration(interval)

    with pytest.raises(StopIteration) as stopped:
        connection_class(f"redis://127.0.0.1:{free_port()}").ensure_connection(errback=stop)
    return stopped.value.value


def test_a_lost_connection_can_be_closed(consumer, hole):
    assert error_of_closing_a_lost_connection(consumer, hole) is None


@with_kombus_own
def test_the_guard_of_closed_connections_is_still_needed(consumer, hole):
    error = error_of_closing_a_lost_connection(consumer, hole)

    assert "'NoneType' object has no attribute 'hostname'" in str(error), DELETE.format(
        "Channel._connparams"
    )


def test_a_failed_acknowledgement_frees_its_slot(consumer, hole):
    assert receives_another_after_a_failed_acknowledgement(consumer, hole)


@with_kombus_own
def test_freeing_the_slot_of_a_failed_acknowledgement_is_still_needed(consumer, hole):
    assert not receives_another_after_a_failed_acknowledgement(consumer, hole), DELETE.format(
        "QoS.free_slot_on_error"
    )


def test_a_worker_tries_to_connect_again_soon():
    assert first_interval_between_attempts(Connection) == 0.5


def test_shorter_intervals_are_still_needed():
    assert first_interval_between_attempts(kombu.Connection) > 1, DELETE.format("RETRY_INTERVALS")


@pytest.mark.parametrize(("tested", "warns"), [(connection.KOMBU, False), ("5.6", True)])
def test_another_version_of_kombu_is_logged(monkeypatch, caplog, tested, warns):
    monkeypatch.setattr(connection, "KOMBU", tested)
    connection.warn_if_kombu_is_untested()

    assert ("kombu_untested" in caplog.text) is warns


@pytest.mark.django_db(transaction=True)
def test_a_redis_that_hangs_costs_one_request_its_time_out(redis_server, monkeypatch):
    monkeypatch.setattr(circuit, "reset_after", timedelta(minutes=1))
    redis_server.hang()
    times = [time.monotonic()]
    for number in range(21):
        send_email("test_email", f"person{number}@example.com")
        times.append(time.monotonic())

    assert times[1] - times[0] < 5
    assert times[-1] - times[1] < 5  # twenty time-outs take 10 s


def test_a_producer_like_that_of_beat_publishes_after_its_connection_went_half_open(
    hole, monkeypatch
):
    monkeypatch.setattr(circuit, "reset_after", timedelta(0))
    with current_app.connection_for_write(f"redis://127.0.0.1:{hole.port}/0") as connection:
        producer = Producer(connection)
        heartbeat.apply_async(producer=producer)
        hole.swallow()
        with pytest.raises(OperationalError):
            heartbeat.apply_async(producer=producer)

        heartbeat.apply_async(producer=producer)


def fill(count):
    with current_app.producer_or_acquire() as producer, producer.batch():
        for _ in range(count):
            probes.urgent.apply_async(producer=producer)


def consumes(word):
    """Return a condition: a task with this word, published again and again, has run."""

    def condition():
        probes.echo.publish_or_log((word,))
        return word in probes.ran()

    return condition


@pytest.fixture
def flushed_afterwards(worker):
    """Flushes what the test has left, and waits for what the worker had received of it."""
    yield
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.flushdb()
    probes.echo.delay("the end")
    wait_until(lambda: "the end" in probes.ran())


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("flushed_afterwards")
def test_a_worker_under_load_survives_a_killed_redis(worker, redis_server):
    process = worker.group
    fill(300)
    wait_until(lambda: len(probes.ran()) > 10)
    redis_server.kill()
    redis_server.restart()

    wait_until(consumes("after the kill"))

    assert worker.group == process
    assert worker.is_alive()


def ping_before_and_after_a_restart(control, redis_server):
    control.ping(timeout=0.1)
    redis_server.kill()
    redis_server.restart()
    control.ping(timeout=0.1)


def test_a_control_command_works_after_redis_has_restarted(redis_server):
    ping_before_and_after_a_restart(current_app.control, redis_server)


def test_connections_for_control_commands_are_still_needed(redis_server):
    try:
        ping_before_and_after_a_restart(control.Control(current_app), redis_server)
    except redis.ConnectionError:
        return
    pytest.fail("Celery does this right by itself now: delete Control from durable/broker")


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("flushed_afterwards")
@pytest.mark.parametrize("trouble", ["demote", "fill"])
def test_a_worker_waits_for_a_redis_that_refuses_writes(worker, redis_server, capsys, trouble):
    process = worker.group
    getattr(redis_server, trouble)()
    wait_until(lambda: cli.main(["worker"]) == 1)
    time.sleep(2)
    assert cli.main(["worker"]) == 1
    assert cli.main(["worker", "--alive"]) == 0
    redis_server.demote(replica=False)
    redis_server.fill(full=False)

    assert "waiting for the broker" in capsys.readouterr().out
    wait_until(consumes("after the failover"))

    assert worker.group == process
    assert worker.is_alive()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("flushed_afterwards")
def test_a_worker_consumes_after_redis_has_lost_its_data():
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.flushall()

    wait_until(consumes("after the loss"))


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("flushed_afterwards")
def test_a_worker_consumes_after_its_connections_went_half_open(worker):
    worker.hole.swallow()

    wait_until(consumes("after the half-open connections"))

    assert worker.is_alive()
