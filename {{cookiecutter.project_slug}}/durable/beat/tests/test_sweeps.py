"""Tasks that Beat runs itself."""

import threading
from datetime import timedelta

import pytest
from celery import current_app, shared_task
from celery.schedules import schedule
from django_celery_beat.models import PeriodicTask
from django_celery_results.models import TaskResult

from durable import heartbeat
from durable.beat import sweeps
from durable.beat.tests.helpers import Beat, make_due
from durable.conf import conf
from durable.tasks.base import DurableTask, Task
from durable.testing.workers import wait_until

pytestmark = pytest.mark.django_db(transaction=True)
AN_HOUR = schedule(timedelta(hours=1))


@pytest.fixture
def sweep(declare):
    """Declare a periodic task that calls `sweep.work` in Beat."""

    class Sweep:
        work = staticmethod(lambda: 3)

    @shared_task(base=Task, name="tests.sweep", runs_in_beat=True, autoretry_for=())
    def run():
        return sweep.work()

    sweep = Sweep()
    declare({"sweep": {"task": "tests.sweep", "schedule": AN_HOUR}})
    yield sweep
    current_app.tasks.pop("tests.sweep")


@pytest.fixture
def beat():
    beat = Beat()
    yield beat
    beat.sweeps.wait()


def run_now(beat):
    """Let the sweep be due, and start it."""
    beat.run_due()
    make_due("sweep")
    beat.run_due()


def test_a_sweep_runs_in_beat_and_its_outcome_is_stored(sweep, beat, published):
    run_now(beat)
    beat.sweeps.wait()

    assert published == []
    assert PeriodicTask.objects.get(name="sweep").total_run_count == 1
    result = TaskResult.objects.get()
    assert (result.status, result.result, result.periodic_task_name) == ("SUCCESS", "3", "sweep")
    assert result.worker == beat.candidate.name


def test_an_outcome_replaces_the_last_one(sweep, beat):
    run_now(beat)
    beat.sweeps.wait()
    sweep.work = lambda: 1 / 0
    run_now(beat)
    beat.sweeps.wait()

    result = TaskResult.objects.get()
    assert (result.status, "ZeroDivisionError" in result.result) == ("FAILURE", True)
    assert beat.state() == "'sweep' failed: ZeroDivisionError: division by zero"

    sweep.work = lambda: 0
    run_now(beat)
    beat.sweeps.wait()
    assert beat.state() == heartbeat.RUNNING


def test_a_sweep_that_hangs_costs_beat_nothing_and_is_not_started_twice(
    sweep, beat, caplog, hourly
):
    end, starts = threading.Event(), []

    def hang():
        starts.append(1)
        end.wait()

    sweep.work = hang
    beat.app.conf.beat_schedule["sweep"] = {"task": "tests.sweep", "schedule": AN_HOUR}
    run_now(beat)
    wait_until(lambda: starts)

    run_now(beat)

    assert beat.candidate.leads
    assert starts == [1]
    assert "beat_task_still_running" in caplog.text
    beat.sweeps.runs["sweep"].started -= sweeps.MAX_DURATION + 1
    assert beat.state() == "'sweep' has been running for 61 s"
    end.set()


def test_the_problem_of_a_deleted_entry_is_forgotten(sweep, beat):
    sweep.work = lambda: 1 / 0
    run_now(beat)
    beat.sweeps.wait()
    PeriodicTask.objects.get(name="sweep").delete()

    beat.run_due()

    assert beat.state() == heartbeat.RUNNING


def test_a_durable_task_cannot_run_in_beat():
    with pytest.raises(ValueError, match="a durable task has no `runs_in_beat`"):
        type("Sweep", (DurableTask,), {"runs_in_beat": True})


@pytest.mark.parametrize("down", ["stop", "hang"])
def test_without_redis_a_sweep_ends_soon_and_beat_still_leads(beat, redis_server, down):
    beat.run_due()
    make_due("requeue stuck emails")
    getattr(redis_server, down)()

    beat.run_due()
    beat.sweeps.wait()

    assert beat.candidate.leads
    assert not any(run.is_alive() for run in beat.sweeps.runs.values())


def test_the_heartbeat_outlasts_a_worker_whose_clock_is_twenty_minutes_ahead():
    entry = current_app.conf.beat_schedule["heartbeat"]

    assert entry["options"]["expire_seconds"] >= 20 * 60 + entry["schedule"]
    assert 4 * entry["schedule"] <= conf.HEARTBEAT_MAX_AGE
