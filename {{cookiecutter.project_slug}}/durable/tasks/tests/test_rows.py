"""Rows of tasks: published again, claimed, released, finished and purged."""

import uuid
from datetime import timedelta
from unittest.mock import Mock

import pytest
from celery import current_app
from celery.app.task import Context
from celery.exceptions import Ignore, Retry, SoftTimeLimitExceeded, TimeLimitExceeded
from django.db import DatabaseError, InterfaceError, OperationalError, connection
from django.db.models.functions import Now

from durable import db, requeue
from durable.errors import PoisonTaskError
from durable.leases import LeasedQuerySet
from durable.mail.tasks import requeue_stuck_emails
from durable.tasks import crashes, enqueue, execute, failures, outcomes, stopping
from durable.tasks.models import CrashCount, TaskRun
from durable.tasks.request import Request
from durable.tasks.tasks import purge_old_runs, requeue_stuck_runs
from durable.tests import probes

pytestmark = pytest.mark.django_db

WEEKS = timedelta(days=365)
HOUR = timedelta(hours=1)


@pytest.fixture
def published(request):
    seen = []

    def note(sender, headers, **_):
        seen.append((sender, headers["id"]))

    from celery import signals  # noqa: PLC0415

    signals.before_task_publish.connect(note)
    yield seen
    signals.before_task_publish.disconnect(note)


def run(**fields):
    return TaskRun.objects.create(name="tests.durable", args=["one"], **fields)


def test_a_sweep_publishes_rows_that_are_due_and_that_no_worker_has(published):
    forgotten = run()
    lost = run(status="running", lease_until=Now() - HOUR)
    run(status="running", lease_until=Now() + HOUR)
    run(next_attempt_at=Now() + HOUR)
    run(status="done")

    assert requeue_stuck_runs() == 2
    assert {task_id for _, task_id in published} == {str(forgotten.pk), str(lost.pk)}


def test_a_sweep_publishes_no_more_than_each_queue_lacks(published, monkeypatch):
    run(queue="default")
    of_a_former_queue = run(queue="renamed")
    monkeypatch.setattr("durable.leases.REQUEUE_MINIMUM", 0)
    monkeypatch.setattr(requeue, "queue_lengths", lambda: {"default": 1})

    assert requeue_stuck_runs() == 1
    assert published == [("tests.durable", str(of_a_former_queue.pk))]


def test_the_query_of_a_sweep_does_not_read_the_whole_table():
    TaskRun.objects.bulk_create(TaskRun(name="x", status="done") for _ in range(500))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE tasks_taskrun")

    plan = TaskRun.objects.due().order_by("next_attempt_at").values_list("pk").explain()

    assert "taskrun_waiting" in plan or connection.vendor == "sqlite"
    assert "Seq Scan" not in plan
    assert "SCAN tasks_taskrun" not in plan


def test_old_rows_are_purged_when_their_retention_is_over():
    run(status="done", finished_at=Now() - WEEKS)
    run(status="failed", finished_at=Now() - WEEKS)
    count = CrashCount.objects.create(task_id=uuid.uuid4(), name="x")
    CrashCount.objects.filter(pk=count.pk).update(updated_at=Now() - WEEKS)
    failed = run(status="failed", queued_at=Now() - WEEKS, finished_at=Now())
    kept = {
        run(status="queued", queued_at=Now() - WEEKS).pk,
        run(status="done", queued_at=Now() - WEEKS, finished_at=Now()).pk,
        failed.pk,
        # Otherwise the failed task could be replayed a second time.
        run(status="done", finished_at=Now() - WEEKS, replay_of=failed).pk,
    }

    assert purge_old_runs() == 3
    assert set(TaskRun.objects.values_list("pk", flat=True)) == kept


def test_a_claim_counts_the_workers_that_died():
    pk = run().pk

    crashes = [TaskRun.objects.claim(pk, -HOUR).crashes for _ in range(4)]

    assert crashes == [0, 1, 2, 3]


def test_an_outcome_resets_the_crashes():
    held = TaskRun.objects.claim(run(crashes=2).pk, HOUR)

    held.finish(status="queued")

    assert TaskRun.objects.get().crashes == 0


def request_of(task_id, **fields):
    fields = {"delivery_info": {"redelivered": True}, "args": (), "kwargs": {}, **fields}
    return Context(id=task_id, called_directly=False, **fields)


def redeliver(task_id):
    probes.report.request_stack.push(request_of(task_id))
    try:
        crashes.count_crash(probes.report)
    finally:
        probes.report.request_stack.pop()


def test_a_plain_task_stops_when_its_third_worker_has_died():
    for _ in range(2):
        redeliver("some-task")

    with pytest.raises(PoisonTaskError, match="3 workers in a row"):
        redeliver("some-task")


def test_a_plain_task_runs_while_the_database_is_down(monkeypatch):
    def away(*_):
        raise DatabaseError("no database")

    monkeypatch.setattr(crashes, "counted", away)

    redeliver("some-task")


def test_a_worker_that_stops_in_good_order_is_no_crash():
    for _ in range(5):
        crashes.record_release("reports.probe", request_of("some-task"))
        redeliver("some-task")

    assert CrashCount.objects.get().crashes == 0


def test_the_count_of_a_task_that_ends_is_deleted():
    redeliver("some-task")

    crashes.forget(request_of("some-task"))

    assert not CrashCount.objects.exists()


def test_a_worker_that_stops_releases_its_rows():
    held = TaskRun.objects.claim(run().pk, HOUR, worker="celery@here")
    request = Request.__new__(Request)
    request._context = request_of(str(held.pk), task_run=True)
    request.id, request._hostname = str(held.pk), "celery@here"

    request.release()

    assert TaskRun.objects.claim(held.pk, HOUR).crashes == 0


def test_another_workers_row_is_not_released():
    held = TaskRun.objects.claim(run().pk, HOUR, worker="celery@there")

    assert not TaskRun.objects.filter(pk=held.pk).held_by("celery@here").requeue()


def test_ids_of_other_publishers_may_have_any_form():
    assert enqueue.row_id("seven") == enqueue.row_id("seven")
    assert current_app.tasks["tests.durable"].durable


@pytest.mark.django_db(transaction=True)
def test_a_retry_is_written_though_the_connection_was_lost(monkeypatch, published):
    claimed = TaskRun.objects.claim(run().pk, HOUR)
    finish, errors = claimed.finish, [OperationalError("the connection is closed")]

    def flaky(**outcome):
        if errors:
            raise errors.pop()
        return finish(**outcome)

    monkeypatch.setattr(claimed, "finish", flaky)
    execute._claimed.set(claimed)
    request = request_of(str(claimed.pk), task_run=True)
    retry = Retry("away", ConnectionError("away"), 0, sig=probes.durable.s("one").set(retries=1))
    outcomes.on_retry(sender=probes.durable, request=request, reason=retry)

    claimed.refresh_from_db()
    assert (claimed.status, claimed.crashes, claimed.options["retries"]) == ("queued", 0, 1)
    assert [task_id for _, task_id in published] == [str(claimed.pk)]


@pytest.mark.parametrize("in_the_pause", [False, True])
def test_an_outcome_is_written_though_the_time_is_up(monkeypatch, in_the_pause):
    up = SoftTimeLimitExceeded()
    monkeypatch.setattr(db, "connection", Mock())
    monkeypatch.setattr(db.time, "sleep", Mock(side_effect=[up if in_the_pause else None, None]))
    write = Mock(side_effect=[OperationalError("away") if in_the_pause else up, "written"])

    assert db.retry_until_written(write, HOUR) == "written"


@pytest.mark.parametrize("error", [SoftTimeLimitExceeded(), InterfaceError("closed")])
def test_a_task_that_waited_too_long_for_its_row_has_not_failed(monkeypatch, error):
    waiting = run()
    monkeypatch.setattr(LeasedQuerySet, "claim", Mock(side_effect=error))
    probes.durable.push_request(id=str(waiting.pk), called_directly=False, task_run=True)

    with pytest.raises(Ignore):
        probes.durable()
    probes.durable.pop_request()

    # The same if its process was ended.
    failures.record_failure(
        str(waiting.pk), waiting.name, TimeLimitExceeded(75), (), {}, worker="w"
    )
    waiting.refresh_from_db()
    assert waiting.status == "queued"


@pytest.mark.django_db(transaction=True)
def test_an_outcome_is_written_though_the_database_has_become_a_replica():
    takes_no_writes = {
        "postgresql": "SET default_transaction_read_only = on",
        "sqlite": "PRAGMA query_only = on",
    }
    waiting = run()
    claimed = TaskRun.objects.claim(waiting.pk, HOUR)
    connection.cursor().execute(takes_no_writes[connection.vendor])

    execute.mark_done(probes.durable, claimed)

    waiting.refresh_from_db()
    assert waiting.status == "done"


def test_a_sweep_ends_without_an_error_while_the_broker_is_down(redis_server):
    waiting = run()
    assert requeue.publish_all([waiting], enqueue.publish) == 1

    redis_server.stop()

    assert requeue.publish_all([waiting], enqueue.publish) == 0
    assert requeue_stuck_runs() == 0
    assert requeue_stuck_emails() == 0


@pytest.mark.django_db(transaction=True)
def test_a_message_that_cannot_be_built_costs_the_caller_nothing(monkeypatch, caplog):
    monkeypatch.setattr(enqueue, "publish", Mock(side_effect=ValueError("odd")))

    probes.durable.delay("one")

    assert TaskRun.objects.get().status == "queued"  # a sweep tries again
    assert "odd" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_a_process_that_cannot_be_killed_costs_the_operator_no_error(monkeypatch, caplog):
    running = TaskRun.objects.create(name="tests.durable", queue="default", status="running")
    monkeypatch.setattr(stopping, "kill_processes", Mock(side_effect=ValueError("odd")))

    assert stopping.stop([running.pk]) == [running.pk]

    assert "odd" in caplog.text
