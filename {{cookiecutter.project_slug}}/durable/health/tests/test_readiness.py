import time
from datetime import timedelta

import pytest
from celery import current_app
from django.core.cache import cache
from django.db import connection, connections
from django.db.migrations.recorder import MigrationRecorder
from django.db.models.functions import Now

from durable import __version__
from durable.health import queues, readiness
from durable.tasks.models import TaskRun
from durable.testing.workers import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _a_process_that_has_just_started(redis_server):
    readiness.check_migrations.cache_clear()
    current_app.control.purge()
    cache.delete(readiness.STUCK_KEY)


@pytest.fixture
def database_at(monkeypatch):
    def move(port):
        address = {"HOST": "127.0.0.1", "PORT": port, "ENGINE": "django.db.backends.postgresql"}
        settings = connections.settings["default"] | address | {"OPTIONS": {}}
        monkeypatch.setattr(connections, "settings", {"default": settings})

    return move


@pytest.fixture
def recorder():
    recorder = MigrationRecorder(connection)
    yield recorder
    recorder.record_unapplied("tasks", "0001_initial")
    recorder.record_applied("tasks", "0001_initial")


def unavailable(client):
    started = time.monotonic()
    response = client.get("/health/ready")
    assert time.monotonic() - started < readiness.TIMEOUT + 5
    parts = {name for name, state in response.json()["checks"].items() if state != "ok"}
    assert response.status_code == (503 if parts else 200)
    assert response.json()["status"] == ("unavailable" if parts else "ok")
    return parts


def test_a_service_is_ready_when_every_check_passes(client):
    response = client.get("/health/ready")

    assert response.status_code == 200
    assert response["Cache-Control"] == "no-store"
    assert response.json() == {
        "status": "ok",
        "checks": {"database": "ok", "cache": "ok", "broker": "ok", "migrations": "ok"},
        "queues": "ok",
        "version": __version__,
    }


def queues_of(client):
    response = client.get("/health/ready")
    assert response.status_code == 200
    assert set(response.json()["checks"].values()) == {"ok"}
    return response.json()["status"], response.json()["queues"]


def test_a_queue_whose_oldest_row_waits_too_long_is_reported_with_200(client, caplog):
    run = TaskRun.objects.create(
        name="tests.durable", queue="default", next_attempt_at=Now() - timedelta(minutes=6)
    )
    assert queues_of(client) == ("degraded", "stuck")
    assert "has waited for 6 minutes" in caplog.text

    run.delete()
    assert queues_of(client) == ("degraded", "stuck")  # as processes share an answer
    cache.delete(readiness.STUCK_KEY)
    assert queues_of(client) == ("ok", "ok")


def test_messages_without_a_consumer_are_reported_with_200(client, monkeypatch):
    monkeypatch.setattr(queues, "queue_lengths", lambda: {"default": 2})
    monkeypatch.setattr(queues, "ask_workers", dict)

    assert queues_of(client) == ("degraded", "stuck")


def test_queues_that_cannot_be_read_are_unknown(client, redis_server):
    redis_server.stop()

    assert client.get("/health/ready").json()["queues"] == "unknown"


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
def test_probes_need_no_https_and_no_allowed_host(client, settings, path):
    settings.SECURE_SSL_REDIRECT = True

    assert client.get(path, headers={"host": "10.1.2.3:8000"}).status_code == 200


def test_a_process_is_alive_without_redis_and_database(client, redis_server, database_at):
    redis_server.stop()
    database_at(1)

    response = client.get("/health/live")

    assert (response.status_code, response.json()) == (200, {"status": "ok", "checks": {}})


def test_a_stopped_redis_fails_its_checks(client, redis_server):
    redis_server.stop()
    assert unavailable(client) == {"cache", "broker"}

    redis_server.restart()
    wait_until(lambda: unavailable(client) == set())


def test_a_redis_that_is_full_fails_its_checks(client, redis_server):
    redis_server.fill()
    assert unavailable(client) == {"cache", "broker"}

    redis_server.fill(full=False)
    assert unavailable(client) == set()


def test_a_replica_fails_its_checks(client, redis_server):
    redis_server.demote()
    assert unavailable(client) == {"cache", "broker"}


def test_an_unreachable_database_fails_its_checks(client, database_at, monkeypatch):
    database_at(1)
    assert unavailable(client) == {"database", "migrations"}

    monkeypatch.undo()
    assert unavailable(client) == set()


if connection.vendor == "postgresql":

    def test_a_read_only_database_fails_its_checks(client, monkeypatch, caplog):
        replica = {"options": "-c default_transaction_read_only=on"}
        settings = connections.settings["default"]
        settings = settings | {"OPTIONS": settings["OPTIONS"] | replica}
        monkeypatch.setattr(connections, "settings", {"default": settings})

        assert unavailable(client) == {"database", "migrations"}
        assert "OperationalError: " in caplog.text


def test_the_reason_of_a_failure_is_logged_and_not_shown(client, database_at, caplog):
    database_at(1)

    assert "refused" not in client.get("/health/ready").text
    assert "refused" in caplog.text


def test_unapplied_migrations_fail_and_applied_ones_are_not_checked_again(client, recorder):
    recorder.record_unapplied("tasks", "0001_initial")
    assert unavailable(client) == {"migrations"}

    recorder.record_applied("tasks", "0001_initial")
    assert unavailable(client) == set()

    recorder.record_unapplied("tasks", "0001_initial")
    assert unavailable(client) == set()
