"""A worker or Beat that could not keep the engine's promises does not start."""

import subprocess
import sys

import pytest
from celery import current_app
from django.core import checks

from durable.tasks.startup import exit_if_misconfigured

pytestmark = pytest.mark.django_db

CELERY = [sys.executable, "-m", "celery", "-A", "config"]


@pytest.mark.parametrize("pool", ["solo", "threads"])
def test_a_worker_with_a_pool_without_hard_limits_ends_with_one_line(pool):
    ended = subprocess.run(
        [*CELERY, "worker", f"--pool={pool}", "--loglevel=ERROR"],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )

    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"celery worker: the pool '{'thread' if pool == 'threads' else pool}' ")
    assert "use --pool=prefork" in line


@pytest.fixture
def configure():
    before = current_app.conf.worker_pool
    yield lambda pool: current_app.conf.update(worker_pool=pool)
    current_app.conf.update(worker_pool=before)


@pytest.mark.parametrize("pool", ["solo", "celery.concurrency.thread:TaskPool"])
def test_a_pool_in_the_settings_is_refused_too(configure, pool):
    configure(pool)

    with pytest.raises(SystemExit, match="prefork"):
        exit_if_misconfigured()


@pytest.mark.parametrize("pool", [None, "prefork", "processes"])
def test_the_pool_of_processes_starts(pool):
    exit_if_misconfigured(pool)


@pytest.fixture
def add_check():
    registered = checks.registry.registry.registered_checks
    before = set(registered)

    def add(*found):
        @checks.register("celery")
        def check(**_):
            return list(found)

    yield add
    registered.intersection_update(before)


def test_errors_of_the_checks_are_lines(add_check):
    add_check(
        checks.Error("no worker listens to 'images'", hint="Add\n a line.", id="own.E001"),
        checks.Error("no limit", id="own.E002"),
        checks.Warning("odd", id="own.W001"),
    )

    with pytest.raises(SystemExit) as ended:
        exit_if_misconfigured()

    assert ended.value.code == (
        "no worker listens to 'images': Add a line. (own.E001)\nno limit: (own.E002)"
    )


def test_a_silenced_error_starts(add_check, settings):
    settings.SILENCED_SYSTEM_CHECKS = [*settings.SILENCED_SYSTEM_CHECKS, "own.E001"]
    add_check(checks.Error("no worker listens to 'images'", id="own.E001"))

    exit_if_misconfigured()
