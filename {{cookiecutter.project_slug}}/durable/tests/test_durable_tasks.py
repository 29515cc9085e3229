"""What durable tasks promise, kept by a real worker, a real broker and a real database."""

import uuid
from datetime import timedelta

import pytest
from celery import chain, chord, current_app, group
from celery.exceptions import Ignore
from django.db import transaction
from django.db.models.functions import Now
from django.urls import reverse
from django.utils import timezone
from django_celery_results.models import TaskResult

from durable.tasks import enqueue
from durable.tasks.failures import replay
from durable.tasks.models import FailedTask, TaskRun
from durable.tasks.tasks import requeue_stuck_runs
from durable.testing.workers import wait_until
from durable.tests import probes

pytestmark = pytest.mark.django_db(transaction=True)


def has_status(result, status):
    return lambda: TaskRun.objects.get(pk=result.id).status == status


def all_done(count):
    return lambda: TaskRun.objects.filter(status="done").count() == count


def test_a_worker_runs_a_durable_task_from_its_row(worker):
    result = probes.durable.delay("one")

    wait_until(has_status(result, "done"))

    run = TaskRun.objects.get(pk=result.id)
    assert (run.name, run.args, run.attempts, run.queue) == ("tests.durable", ["one"], 1, "default")
    assert probes.ran() == ["one"]


def test_a_result_that_the_caller_asked_for_is_stored(worker):
    asked = probes.durable.apply_async(("one",), ignore_result=False)
    other = probes.durable.delay("two")

    wait_until(all_done(2))

    assert asked.get(timeout=60) == "one"
    # Of these two: what the worker did with messages of other tests may be kept late.
    kept = TaskResult.objects.filter(task_id__in=[asked.id, other.id])
    assert [result.task_id for result in kept] == [asked.id]


def test_a_rolled_back_transaction_runs_nothing(worker):
    with transaction.atomic():
        probes.durable.delay("never")
        transaction.set_rollback(True)
    probes.durable.delay("marker")

    wait_until(all_done(1))

    assert probes.ran() == ["marker"]


def test_a_message_that_comes_twice_runs_once(worker):
    result = probes.durable.delay("one")
    enqueue.publish_or_log(TaskRun.objects.get(pk=result.id))
    marker = probes.durable.delay("marker")

    wait_until(has_status(marker, "done"))
    wait_until(has_status(result, "done"))

    assert sorted(probes.ran()) == ["marker", "one"]


def test_a_start_months_away_waits_in_its_row(worker):
    result = probes.durable.apply_async(("one",), countdown=90 * 24 * 3600)
    probes.durable.delay("marker")
    wait_until(all_done(1))
    assert requeue_stuck_runs() == 0

    TaskRun.objects.filter(pk=result.id).update(next_attempt_at=Now())
    assert requeue_stuck_runs() == 1

    wait_until(has_status(result, "done"))


def test_a_task_that_fails_for_good_is_stored(worker):
    result = probes.failing.delay(password="sesame")

    wait_until(has_status(result, "failed"))

    failed = FailedTask.objects.get(pk=result.id)
    assert (failed.error_type, failed.queue) == ("ZeroDivisionError", "default")
    assert "nothing to divide by" in failed.traceback
    assert failed.shown_arguments["kwargs"] == {"password": "********"}
    assert failed.worker.startswith("celery@")


def test_a_durable_chain_runs_in_order(worker):
    links = chain(probes.durable.s("a"), probes.durable_link.s("b"), probes.durable_link.s("c"))
    links.apply_async()

    wait_until(all_done(3))

    assert probes.ran() == ["a", "a+b", "b+c"]


def test_a_durable_group_runs(worker):
    group(probes.durable.s(name) for name in "abc").apply_async()

    wait_until(all_done(3))

    assert sorted(probes.ran()) == ["a", "b", "c"]


def test_a_row_that_another_worker_holds_is_not_claimed():
    run = TaskRun.objects.create(name="tests.durable", args=["one"])
    TaskRun.objects.claim(run.pk, timedelta(hours=1))
    probes.durable.push_request(id=str(run.pk), called_directly=False, task_run=True)

    with pytest.raises(Ignore):
        probes.durable()
    probes.durable.pop_request()


def test_a_task_that_had_nothing_to_do_is_done(worker):
    result = probes.idle.delay()

    wait_until(has_status(result, "done"))

    assert TaskRun.objects.get(pk=result.id).attempts == 1


def test_a_task_that_rejects_its_message_fails_and_runs_once(worker):
    result = probes.rejecting.delay()

    wait_until(has_status(result, "failed"))

    assert FailedTask.objects.get(pk=result.id).error_type == "Reject"
    assert probes.ran() == ["rejecting"]


def test_a_task_whose_link_does_not_fit_fails_and_runs_once(worker):
    result = probes.durable.apply_async(("one",), link=probes.idle.s())

    wait_until(has_status(result, "failed"))

    failed = FailedTask.objects.get(pk=result.id)
    assert (failed.error_type, failed.queue) == ("TypeError", "default")
    assert probes.ran() == ["one"]


def test_a_task_that_calls_itself_continues_after_the_call(worker):
    result = probes.nested.delay(2)

    wait_until(has_status(result, "done"))

    assert probes.ran() == [
        *("2 begins", "1 begins", "0 begins"),
        *("0 ends", "1 ends", "2 ends"),
    ]


def test_a_retry_uses_the_new_arguments(worker):
    result = probes.paged.delay(page=1, size=50)

    wait_until(has_status(result, "done"))

    assert probes.ran() == ["page 1 of 50", "page 2 of 50"]


def test_a_revoked_task_is_not_published_again(worker):
    task_id = str(uuid.uuid4())
    current_app.control.revoke(task_id)
    wait_until(lambda: task_id in str(current_app.control.inspect(timeout=0.5).revoked()))

    result = probes.durable.apply_async(("never",), task_id=task_id)

    wait_until(has_status(result, "failed"))
    assert FailedTask.objects.get(pk=task_id).error_type == "TaskRevokedError"
    assert requeue_stuck_runs() == 0
    assert probes.ran() == []


def test_a_start_months_away_can_be_canceled():
    result = probes.durable.apply_async(("one",), countdown=90 * 24 * 3600)

    assert enqueue.cancel(result.id)
    assert not enqueue.cancel(result.id)

    assert has_status(result, "failed")()


def test_a_durable_task_that_is_replaced_fails(worker):
    result = probes.replaced.delay()

    wait_until(has_status(result, "failed"))

    assert "a durable task cannot be replaced" in FailedTask.objects.get(pk=result.id).last_error


def test_the_links_of_a_rejected_plain_task_are_stored(worker):
    chain(probes.far_away.si(), probes.echo.si("the rest")).apply_async()
    wait_until(FailedTask.objects.exists)

    failed = FailedTask.objects.get()
    assert (failed.error_type, failed.queue) == ("Reject", "default")
    assert failed.options["chain"][0]["task"] == "tests.echo"


def test_the_links_of_a_plain_task_follow_its_replay(worker):
    chain(probes.plain_flaky.si(1), probes.echo.si("the rest")).apply_async()
    wait_until(FailedTask.objects.exists)

    replay(FailedTask.objects.get())

    wait_until(lambda: probes.ran() == ["plain flaky", "plain flaky", "the rest"])


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((7,), {"password": "sesame"}), ((7, "sesame"), {})],
    ids=["by name", "by position"],
)
def test_a_secret_of_a_failed_task_appears_nowhere(worker, admin_client, args, kwargs):
    before = len(worker.output())
    result = probes.giving_up.apply_async(args, kwargs, ignore_result=False)
    wait_until(FailedTask.objects.exists)

    failed = FailedTask.objects.get()
    page = admin_client.get(reverse("admin:tasks_failedtask_change", args=[failed.pk])).text
    kept = TaskResult.objects.filter(task_id=result.id).values().get()
    assert "********" in page
    assert "********" in kept["task_args"] + kept["task_kwargs"]
    texts = [failed.last_error, failed.traceback, page, str(kept), worker.output()[before:]]
    assert [text for text in texts if "sesame" in text] == []
    with pytest.raises(ValueError, match="was not stored"):
        replay(failed)


def test_a_task_of_a_newer_version_waits_for_its_worker(worker):
    unknown = TaskRun.objects.create(name="tests.of_tomorrow", queue="default")
    renamed = TaskRun.objects.create(name="tests.durable", kwargs={"title": "new"}, queue="default")
    for run in (unknown, renamed):
        enqueue.publish(run)

    wait_until(lambda: not TaskRun.objects.filter(first_failed_at=None).exists())

    for run in (unknown, renamed):
        run.refresh_from_db()
        assert (run.status, run.next_attempt_at > timezone.now()) == ("queued", True)
    TaskRun.objects.update(first_failed_at=Now() - timedelta(hours=2), next_attempt_at=Now())
    assert requeue_stuck_runs() == 2
    wait_until(lambda: FailedTask.objects.count() == 2)


@pytest.mark.parametrize("text", ["half of a pair: \udcff", "NUL: \x00"])
@pytest.mark.parametrize("task", [probes.durable_unprintable, probes.plain_unprintable])
def test_an_error_that_the_database_cannot_hold_is_stored(worker, task, text):
    task.delay([ord(character) for character in text])

    wait_until(FailedTask.objects.exists)

    failed = FailedTask.objects.get()
    assert (failed.error_type, failed.attempts) == ("ValueError", 1)
    assert failed.last_error.startswith("ValueError: ")


def test_the_body_of_a_chord_of_ordinary_tasks_is_called(worker):
    chord([probes.number.s(1), probes.number.s(2)])(probes.total.s())

    wait_until(lambda: probes.ran() == ["3"])


@pytest.mark.parametrize("many", ["map", "starmap", "chunks"])
def test_the_results_of_many_calls_are_those_that_the_task_keeps(worker, many):
    calls = {
        "map": lambda task: task.map([1, 2]),
        "starmap": lambda task: task.starmap([(1,), (2,)]),
        "chunks": lambda task: task.chunks([(1,), (2,)], 2),
    }[many]

    kept = calls(probes.kept_number).apply_async().get(timeout=60)

    assert kept == ([[1, 2]] if many == "chunks" else [1, 2])
    assert TaskRun.objects.count() == 0
