"""Rows of durable tasks: found when they are due, given back, and deleted in the end."""

from datetime import timedelta

import pytest
from celery import current_app
from celery.app.task import Context
from django.db import DatabaseError, connection
from django.db.models.functions import Now

from apps.tasks import durable, health, redelivery, runs
from apps.tasks.durable import WorkersLostError
from apps.tasks.models import TaskRun
from apps.tasks.request import Request
from apps.tasks.tasks import purge_old_runs, requeue_stuck_runs
from tests import probes

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


def test_the_sweeper_rings_for_what_is_due_and_unclaimed(published):
    forgotten = run()
    lost = run(status="running", lease_until=Now() - HOUR)
    run(status="running", lease_until=Now() + HOUR)
    run(next_attempt_at=Now() + HOUR)
    run(status="done")
    run(status="redelivered")

    assert requeue_stuck_runs() == 2
    assert {task_id for _, task_id in published} == {str(forgotten.pk), str(lost.pk)}


def test_the_sweeper_rings_for_no_more_than_each_queue_misses(published, monkeypatch):
    run(queue="default")
    of_a_queue_of_old = run(queue="renamed")
    monkeypatch.setattr(durable, "REQUEUED_AT_LEAST", 0)
    monkeypatch.setattr(health, "queue_lengths", lambda: {"default": 1})

    assert requeue_stuck_runs() == 1
    assert published == [("tests.durable", str(of_a_queue_of_old.pk))]


def test_the_sweepers_query_does_not_read_the_whole_table():
    TaskRun.objects.bulk_create(TaskRun(name="x", status="done") for _ in range(500))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE tasks_taskrun")

    plan = TaskRun.objects.due().order_by("next_attempt_at").values_list("pk").explain()

    assert "taskrun_waiting" in plan or connection.vendor == "sqlite"
    assert "Seq Scan" not in plan
    assert "SCAN tasks_taskrun" not in plan


def test_old_rows_leave_when_their_retention_is_over():
    run(status="done", queued_at=Now() - WEEKS)
    run(status="failed", finished_at=Now() - WEEKS)
    run(status="redelivered", queued_at=Now() - WEEKS)
    kept = {
        run(status="queued", queued_at=Now() - WEEKS).pk,
        run(status="done").pk,
        run(status="failed", queued_at=Now() - WEEKS, finished_at=Now()).pk,
    }

    assert purge_old_runs() == 3
    assert set(TaskRun.objects.values_list("pk", flat=True)) == kept


def test_a_claim_counts_the_workers_that_were_lost():
    pk = run().pk

    losses = [TaskRun.objects.claim(pk, -HOUR).losses for _ in range(4)]

    assert losses == [0, 1, 2, 3]


def test_an_outcome_forgets_the_losses():
    held = TaskRun.objects.claim(run(losses=2).pk, HOUR)

    held.release(status="queued")

    assert TaskRun.objects.get().losses == 0


def request_of(task_id, **fields):
    fields = {"delivery_info": {"redelivered": True}, "args": (), "kwargs": {}, **fields}
    return Context(id=task_id, called_directly=False, **fields)


def redeliver(task_id):
    probes.report.request_stack.push(request_of(task_id))
    try:
        redelivery.count(probes.report)
    finally:
        probes.report.request_stack.pop()


def test_a_plain_task_is_set_aside_when_its_third_worker_has_died():
    for _ in range(2):
        redeliver("some-task")

    with pytest.raises(WorkersLostError, match="3 workers in a row"):
        redeliver("some-task")


def test_a_database_that_is_away_holds_no_plain_task_up(monkeypatch):
    def away(*_):
        raise DatabaseError("no database")

    monkeypatch.setattr(redelivery, "row_of", away)

    redeliver("some-task")


def test_a_worker_that_stops_in_peace_is_not_counted():
    for _ in range(5):
        redelivery.note_given_back("reports.probe", request_of("some-task"))
        redeliver("some-task")

    assert TaskRun.objects.get().losses == 0


def test_a_task_that_ends_well_is_forgotten():
    redeliver("some-task")

    redelivery.forget(request_of("some-task"))

    assert not TaskRun.objects.exists()


def test_a_worker_that_stops_gives_its_rows_back():
    held = TaskRun.objects.claim(run().pk, HOUR, worker="celery@here")
    stopping = Request.__new__(Request)
    stopping._context = request_of(str(held.pk), task_run=True)
    stopping.id, stopping._hostname = str(held.pk), "celery@here"

    stopping.give_back()

    assert TaskRun.objects.claim(held.pk, HOUR).losses == 0


def test_another_workers_row_is_not_given_back():
    held = TaskRun.objects.claim(run().pk, HOUR, worker="celery@there")

    assert not runs.put_back(request_of(str(held.pk), hostname="celery@here"))


def test_ids_of_other_publishers_may_have_any_form():
    assert runs.row_id("seven") == runs.row_id("seven")
    assert current_app.tasks["tests.durable"].durable
