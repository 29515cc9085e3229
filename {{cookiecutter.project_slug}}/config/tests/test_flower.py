"""Flower listens on this machine only and requires the password from the environment."""

import asyncio
import base64
import json
import runpy
import socket
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from celery import current_app
from django.conf import settings
from flower.utils.broker import Broker  # type: ignore[import-untyped]
from redis.asyncio import ConnectionPool

from durable.testing.servers import free_port
from durable.testing.workers import TIMEOUT, Program, listens, wait_until

COMMAND = ("celery", "-A", "config", "flower", "--conf=config/flower.py")
PORT = free_port()
SECRET, OTHER_SECRET = "ann:sesame,open", "bob:sesame"

READ_WRITE_PORT = free_port()
flower = Program(*COMMAND, FLOWER_PORT=str(PORT), FLOWER_BASIC_AUTH=f"{SECRET}, {OTHER_SECRET}")
read_write = Program(
    *COMMAND,
    FLOWER_PORT=str(READ_WRITE_PORT),
    FLOWER_BASIC_AUTH=SECRET,
    FLOWER_READ_ONLY="false",
)
open_flower = Program(*COMMAND, FLOWER_PORT=str(free_port()), FLOWER_BASIC_AUTH="")


@pytest.fixture
def port():
    flower.wait(PORT)
    return PORT


def ask(port, path, secret=None, method="GET"):
    request = Request(f"http://127.0.0.1:{port}{path}", method=method)
    if secret:
        request.add_header("Authorization", f"Basic {base64.b64encode(secret.encode()).decode()}")
    try:
        with urlopen(request) as response:
            return response.status, response.read().decode()
    except HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read().decode()


def status(port, secret=None):
    return ask(port, "/workers", secret)[0]


def test_it_shows_the_workers_only_with_the_password(port):
    assert [status(port), status(port, "ann:guess"), status(port, SECRET)] == [401, 401, 200]


def test_a_password_may_hold_a_comma_and_another_login_may_follow(port):
    assert [status(port, "ann:sesame"), status(port, OTHER_SECRET)] == [401, 200]


def test_a_probe_needs_no_password(port):
    assert ask(port, "/healthcheck") == (200, "OK")


def test_its_buttons_do_nothing_unless_a_variable_allows_it(port):
    url = "/api/worker/shutdown/celery@nobody"
    read_write.wait(READ_WRITE_PORT)

    refused = ask(port, url, SECRET, method="POST")
    allowed = ask(READ_WRITE_PORT, url, SECRET, method="POST")

    assert (refused[0], allowed[0]) == (403, 404)  # allowed, but there is no such worker


def test_what_it_saw_survives_a_restart(tmp_path):
    port = free_port()
    kept = Program(
        *COMMAND,
        FLOWER_PORT=str(port),
        FLOWER_BASIC_AUTH=SECRET,
        FLOWER_DB=str(tmp_path / "state"),
    )
    kept.wait(port)

    def seen():
        with current_app.connection_for_write() as connection:
            current_app.events.Dispatcher(connection).send(
                "task-received", uuid="task-7", name="tests.echo", args="()", kwargs="{}"
            )
        return "task-7" in ask(port, "/api/tasks", SECRET)[1]

    wait_until(seen)
    kept.process.terminate()
    kept.process.communicate(timeout=TIMEOUT)
    kept.process = None
    kept.wait(port)

    assert "task-7" in ask(port, "/api/tasks", SECRET)[1]


def test_it_remembers_fewer_tasks_than_its_memory_holds(settings):
    settings.FLOWER_BASIC_AUTH = SECRET

    assert runpy.run_path(str(settings.BASE_DIR / "config/flower.py"))["max_tasks"] == 10_000


def test_its_page_on_the_broker_counts_the_messages_of_this_service():
    with current_app.producer_or_acquire() as producer:
        producer.publish({}, routing_key="counted", exchange="")
        broker = Broker(
            settings.CELERY_BROKER_URL, broker_options=settings.CELERY_BROKER_TRANSPORT_OPTIONS
        )

        assert asyncio.run(broker.queues(["counted"])) == [{"name": "counted", "messages": 1}]
        producer.channel.queue_purge("counted")


@pytest.mark.parametrize("options", ["ssl_ca_certs=/etc/ssl/own.pem", "ssl_cert_reqs=none"])
def test_its_page_on_the_broker_uses_the_tls_options_of_the_brokers_url(monkeypatch, options):
    url = f"rediss://redis.example.com:6380/0?{options}"
    monkeypatch.setenv("CELERY_BROKER_URL", url)
    made = runpy.run_path(str(settings.BASE_DIR / "config/settings/celery.py"))

    broker = Broker(
        url,
        broker_options=made["CELERY_BROKER_TRANSPORT_OPTIONS"],
        broker_use_ssl=made["CELERY_BROKER_USE_SSL"],
    )

    pool, expected = broker.redis.connection_pool, ConnectionPool.from_url(url)
    used, wanted = pool.make_connection().ssl_context, expected.make_connection().ssl_context
    assert (used.cert_reqs, used.ca_certs) == (wanted.cert_reqs, wanted.ca_certs)


def test_it_listens_on_this_machine_only(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing, but selects the outgoing address
        outside = probe.getsockname()[0]

    assert outside != "127.0.0.1"
    assert not listens(outside, port)


def test_without_a_password_it_does_not_start():
    process = open_flower.start()

    _, errors = process.communicate(timeout=TIMEOUT)

    assert process.returncode != 0
    assert "FLOWER_BASIC_AUTH" in errors


@pytest.mark.parametrize(("level", "shown"), [("INFO", {"info"}), ("WARNING", set())])
def test_its_lines_are_json_and_keep_to_the_level(level, shown):
    port = free_port()
    options = {"FLOWER_PORT": str(port), "FLOWER_BASIC_AUTH": SECRET}
    program = Program(*COMMAND, **options, LOG_FORMAT="json", LOG_LEVEL=level)
    program.wait(port)
    ask(port, "/healthcheck")  # it answers once its loop runs, and only then it ends at a signal

    program.process.terminate()
    _, errors = program.process.communicate(timeout=TIMEOUT)

    lines = [json.loads(line) for line in errors.splitlines()]
    assert {line["level"] for line in lines} == shown
    assert all(line["logger"] and line["timestamp"] for line in lines)


def test_systemd_receives_its_state(tmp_path):
    address = str(tmp_path / "notify@1")
    options = {"FLOWER_PORT": str(free_port()), "FLOWER_BASIC_AUTH": SECRET}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(address)
        systemd.settimeout(TIMEOUT)
        program = Program(*COMMAND, **options, NOTIFY_SOCKET=address)
        program.start()

        assert [systemd.recv(100) for _ in range(2)] == [b"READY=1\nWATCHDOG=1"] * 2
        program.stop()
