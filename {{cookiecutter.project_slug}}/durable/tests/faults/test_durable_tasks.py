"""What becomes of durable tasks whose worker, message or time is lost."""

import time

import pytest
from celery import chain

from durable.tasks.models import FailedTask, TaskRun
from durable.tasks.tasks import requeue_stuck_runs
from durable.testing.workers import wait_until
from durable.tests import probes
from durable.tests.test_durable_tasks import all_done, has_status

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_message_that_was_lost_is_published_again(worker, redis_server):
    redis_server.stop()
    started = time.monotonic()
    result = probes.durable.delay("one")
    took = time.monotonic() - started
    redis_server.restart()

    wait_until(lambda: requeue_stuck_runs() == 1)
    wait_until(has_status(result, "done"))

    assert took < 5
    assert probes.ran() == ["one"]


def test_a_temporary_error_is_tried_again(worker):
    result = probes.flaky.delay(1)
    is_done = has_status(result, "done")

    # On a machine that stands still the message of the retry may be lost: a sweep publishes it again.
    wait_until(lambda: is_done() or (requeue_stuck_runs() and is_done()))

    run = TaskRun.objects.get(pk=result.id)
    assert (run.attempts, run.options["retries"], probes.ran()) == (2, 1, ["flaky", "flaky"])
    assert run.first_failed_at < run.finished_at


def test_a_task_that_runs_too_long_is_a_dead_letter(worker):
    result = probes.endless.apply_async(soft_time_limit=0.5, time_limit=0.7)

    wait_until(has_status(result, "failed"))

    failed = FailedTask.objects.get(pk=result.id)
    assert (failed.error_type, failed.queue) == ("TimeLimitExceeded", "default")
    assert failed.worker.startswith("celery@")


def test_tasks_that_kill_their_pool_processes_are_set_aside(worker):
    durable, plain = probes.deadly.delay(), probes.plain_deadly.delay()
    behind = probes.durable.delay("behind")

    letters = FailedTask.objects.filter(pk__in=(durable.id, plain.id))
    wait_until(has_status(behind, "done"))
    wait_until(lambda: letters.count() == 2)

    assert sorted(probes.ran()) == ["behind", *["deadly"] * 3, *["deadly plain"] * 3]
    assert {letter.error_type for letter in letters} == {"PoisonTaskError"}


def test_a_link_of_a_chain_that_was_lost_is_published_again(worker, redis_server):
    first, second = probes.durable.s("a"), probes.durable_link.s("b")
    redis_server.stop()
    chain(first, second).apply_async()
    redis_server.restart()
    wait_until(lambda: requeue_stuck_runs() == 1)

    wait_until(all_done(2))

    assert probes.ran() == ["a", "a+b"]
