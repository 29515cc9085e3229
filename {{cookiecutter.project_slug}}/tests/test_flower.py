"""Flower: for this machine only, and behind a password from the environment."""

import base64
import os
import socket
import subprocess
import sys
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.servers import free_port
from tests.workers import wait_until

COMMAND = [sys.executable, "-m", "celery", "-A", "config", "flower", "--conf=config/flower.py"]
SECRET = "ann:sesame"


@pytest.fixture(scope="module")
def port():
    port = free_port()
    environment = {**os.environ, "FLOWER_PORT": str(port), "FLOWER_BASIC_AUTH": SECRET}
    with subprocess.Popen(COMMAND, env=environment, stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: process.poll() is not None or answers("127.0.0.1", port))
        yield port
        process.kill()  # it keeps nothing, and takes a second to end by itself


def answers(address, port):
    with socket.socket() as probe:
        return probe.connect_ex((address, port)) == 0


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


def test_it_shows_the_workers_to_who_knows_the_password_alone(port):
    assert [status(port), status(port, "ann:guess"), status(port, SECRET)] == [401, 401, 200]


def test_it_listens_on_this_machine_alone(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing; tells which address would be used
        outside = probe.getsockname()[0]

    assert outside != "127.0.0.1"
    assert not answers(outside, port)


def test_without_a_password_it_does_not_start():
    environment = {**os.environ, "FLOWER_BASIC_AUTH": ""}

    done = subprocess.run(
        COMMAND, env=environment, capture_output=True, text=True, check=False, timeout=20
    )

    assert done.returncode != 0
    assert "FLOWER_BASIC_AUTH" in done.stderr
