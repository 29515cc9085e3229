"""Flower listens on this machine only and requires the password from the environment."""

import base64
import socket
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from durable.testing.servers import free_port
from durable.testing.workers import TIMEOUT, Program, listens

COMMAND = ("celery", "-A", "config", "flower", "--conf=config/flower.py")
PORT = free_port()
SECRET = "ann:sesame"

flower = Program(*COMMAND, FLOWER_PORT=str(PORT), FLOWER_BASIC_AUTH=SECRET)
open_flower = Program(*COMMAND, FLOWER_PORT=str(free_port()), FLOWER_BASIC_AUTH="")


@pytest.fixture
def port():
    flower.wait(PORT)
    return PORT


def status(port, secret=None):
    request = Request(f"http://127.0.0.1:{port}/workers")
    if secret:
        request.add_header("Authorization", f"Basic {base64.b64encode(secret.encode()).decode()}")
    try:
        with urlopen(request) as response:
            return response.status
    except HTTPError as refusal:
        with refusal:
            return refusal.code


def test_it_shows_the_workers_only_with_the_password(port):
    assert [status(port), status(port, "ann:guess"), status(port, SECRET)] == [401, 401, 200]


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
