import time

import pytest
from django.db import connection, connections
from django.db.migrations.recorder import MigrationRecorder

from durable.health import readiness

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _a_process_that_has_just_started():
    readiness.check_migrations.cache_clear()


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
    assert time.monotonic() - started < readiness.PATIENCE + 0.5
    parts = {name for name, state in response.json()["checks"].items() if state != "ok"}
    assert response.status_code == (503 if parts else 200)
    assert response.json()["status"] == ("unavailable" if parts else "ok")
    return parts


def test_a_service_whose_parts_answer_is_ready(client):
    response = client.get("/health/ready")

    assert response.status_code == 200
    assert response["Cache-Control"] == "no-store"
    assert response.json() == {
        "status": "ok",
        "checks": {"database": "ok", "cache": "ok", "broker": "ok", "migrations": "ok"},
    }


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
def test_probes_are_answered_by_any_name_without_https(client, settings, path):
    settings.SECURE_SSL_REDIRECT = True

    assert client.get(path, headers={"host": "10.1.2.3:8000"}).status_code == 200


def test_a_process_is_alive_whatever_is_away(client, redis_server, database_at):
    redis_server.stop()
    database_at(1)

    response = client.get("/health/live")

    assert (response.status_code, response.json()) == (200, {"status": "ok", "checks": {}})


def test_redis_is_missed_while_it_is_stopped(client, redis_server):
    redis_server.stop()
    assert unavailable(client) == {"cache", "broker"}

    redis_server.restart()
    assert unavailable(client) == set()


def test_a_database_is_missed_while_nobody_listens_there(client, database_at, monkeypatch):
    database_at(1)
    assert unavailable(client) == {"database", "migrations"}

    monkeypatch.undo()
    assert unavailable(client) == set()


if connection.vendor == "postgresql":

    def test_a_database_that_takes_no_writes_any_more_is_missed(client, monkeypatch, caplog):
        replica = {"options": "-c default_transaction_read_only=on"}
        settings = connections.settings["default"]
        settings = settings | {"OPTIONS": settings["OPTIONS"] | replica}
        monkeypatch.setattr(connections, "settings", {"default": settings})

        assert unavailable(client) == {"database", "migrations"}
        assert "OperationalError: " in caplog.text


def test_why_a_part_is_missed_is_in_the_log_only(client, database_at, caplog):
    database_at(1)

    assert "refused" not in client.get("/health/ready").text
    assert "refused" in caplog.text


def test_missing_migrations_are_found_and_once_applied_never_asked_for_again(client, recorder):
    recorder.record_unapplied("tasks", "0001_initial")
    assert unavailable(client) == {"migrations"}

    recorder.record_applied("tasks", "0001_initial")
    assert unavailable(client) == set()

    recorder.record_unapplied("tasks", "0001_initial")
    assert unavailable(client) == set()
