"""`manage.py healthcheck worker` with a real worker."""

import os
import signal

import pytest

from durable.health import cli
from durable.testing.workers import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

TIMEOUT = "--timeout=1.5"  # seconds; the workers of the tests beat once a second


def passes(*arguments):
    return cli.main(["worker", *arguments]) == 0


def test_a_worker_that_hangs_is_unhealthy_until_it_continues(worker):
    wait_until(passes)

    os.kill(worker.group, signal.SIGSTOP)
    wait_until(lambda: not passes(TIMEOUT, "--alive"))

    os.kill(worker.group, signal.SIGCONT)
    wait_until(lambda: passes(TIMEOUT))


def test_a_worker_without_its_broker_fails_but_is_alive(worker, redis_server, capsys):
    redis_server.stop()

    wait_until(lambda: not passes())
    assert "waiting for the broker" in capsys.readouterr().out
    assert passes("--alive")

    redis_server.restart()
    wait_until(passes)
