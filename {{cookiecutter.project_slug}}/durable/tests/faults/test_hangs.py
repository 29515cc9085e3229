"""Redis and the database hang, and no caller waits for them longer than its time-out."""

import socket
import threading
import time
from datetime import timedelta

import pytest

from durable.broker.circuit import circuit
from durable.health import readiness
from durable.health.tests import test_readiness
from durable.health.tests.test_readiness import unavailable
from durable.tasks.models import TaskRun
from durable.tasks.tasks import heartbeat
from durable.testing.workers import wait_until
from durable.tests import probes

pytestmark = pytest.mark.django_db(transaction=True)

database_at = test_readiness.database_at


@pytest.fixture(autouse=True)
def _a_process_without_cached_checks():
    readiness.check_migrations.cache_clear()


@pytest.fixture
def long_reset(monkeypatch):
    monkeypatch.setattr(circuit, "reset_after", timedelta(minutes=1))


@pytest.mark.usefixtures("long_reset")
def test_a_broker_that_hangs_costs_one_of_many_callers_its_time_out(redis_server):
    redis_server.hang()
    started = time.monotonic()
    assert heartbeat.publish_or_log() is False
    waited = time.monotonic() - started

    assert not any(heartbeat.publish_or_log() for _ in range(100))
    assert waited < 5
    assert time.monotonic() - started - waited < 5  # a hundred time-outs take 50 s


@pytest.mark.usefixtures("long_reset")
def test_durable_tasks_are_recorded_at_once_while_the_broker_hangs(redis_server):
    redis_server.hang()
    started = time.monotonic()
    for _ in range(50):
        probes.durable.delay("one")

    assert time.monotonic() - started < 5  # fifty time-outs take 25 s
    assert TaskRun.objects.filter(status="queued").count() == 50


@pytest.fixture
def hung_server():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def running_checks(name=""):
    return sum(thread.name.startswith(f"readiness-{name}") for thread in threading.enumerate())


def test_a_redis_that_hangs_fails_its_checks(client, redis_server):
    redis_server.hang()
    assert unavailable(client) == {"cache", "broker"}

    redis_server.hang(hung=False)
    wait_until(lambda: unavailable(client) == set())


def test_a_database_that_hangs_fails_in_time_and_holds_one_thread_per_check(
    client, database_at, hung_server, monkeypatch
):
    monkeypatch.setattr(readiness, "TIMEOUT", 0.2)
    database_at(hung_server.getsockname()[1])

    for _ in range(3):
        assert {"database", "migrations"} <= unavailable(client)
    assert running_checks("database") == running_checks("migrations") == 1

    hung_server.close()
    wait_until(lambda: not running_checks())
    monkeypatch.undo()
    wait_until(lambda: unavailable(client) == set())
