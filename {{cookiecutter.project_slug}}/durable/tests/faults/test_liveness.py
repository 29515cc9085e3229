"""What `manage.py healthcheck worker` says about a real worker."""

import os
import signal

import pytest

from durable.health import cli
from durable.testing.workers import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

SILENCE = "--silence=1.5"  # seconds; the workers of the tests give a sign each second


def is_well(*arguments):
    return cli.main(["worker", *arguments]) == 0


def test_a_worker_that_hangs_is_unhealthy_until_it_goes_on(worker):
    wait_until(is_well)

    os.kill(worker.group, signal.SIGSTOP)
    wait_until(lambda: not is_well(SILENCE, "--alive"))

    os.kill(worker.group, signal.SIGCONT)
    wait_until(lambda: is_well(SILENCE))


def test_a_worker_without_its_broker_is_reported_and_not_taken_for_one_that_hangs(
    worker, redis_server, capsys
):
    redis_server.stop()

    wait_until(lambda: not is_well())
    assert "waits for its broker" in capsys.readouterr().out
    assert is_well("--alive")

    redis_server.restart()
    wait_until(is_well)
