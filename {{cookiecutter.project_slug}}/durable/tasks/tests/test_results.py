"""What `get_state` and Celery's own AsyncResult answer for tasks that store no result."""

from datetime import timedelta

import pytest
from celery import current_app
from celery.exceptions import TaskRevokedError
from celery.exceptions import TimeoutError as CeleryTimeoutError
from celery.result import AsyncResult
from django.utils import timezone
from django_celery_results.models import TaskResult
from structlog.testing import capture_logs

from durable.api import TaskFailedError, TaskRun, cancel, get_state
from durable.tests import probes

STATES = [
    ({}, "queued", "PENDING"),
    ({"status": "running"}, "running", "STARTED"),
    ({"status": "done"}, "done", "SUCCESS"),
    ({"status": "failed", "error_type": "ValueError"}, "failed", "FAILURE"),
    ({"status": "failed", "error_type": "TaskRevokedError"}, "canceled", "REVOKED"),
]


@pytest.mark.django_db
@pytest.mark.parametrize(("fields", "state", "celerys"), STATES)
def test_a_row_has_a_state_for_callers_and_for_celery(fields, state, celerys):
    run = TaskRun.objects.create(name="tests.durable", **fields)
    run.refresh_from_db()

    assert (get_state(str(run.pk)), AsyncResult(str(run.pk)).state) == (state, celerys)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "task_id",
    ["", "no id", "\0", "\udcff", "x" * 100_000, "5f322169-4680-4242-b603-d8a592e58a19"],
    ids=ascii,
)
def test_an_id_that_no_task_has_is_unknown(task_id):
    assert get_state(task_id) == "unknown"


@pytest.mark.django_db
def test_a_task_is_scheduled_until_it_is_due_and_can_be_canceled():
    result = probes.durable.apply_async(("later",), countdown=3600)

    assert (get_state(result.id), result.state) == ("scheduled", "PENDING")
    cancel(result.id)
    assert get_state(result.id) == "canceled"
    with pytest.raises(TaskRevokedError):
        result.get(timeout=1)


@pytest.mark.django_db
def test_waiting_for_a_task_that_no_worker_runs_ends_with_celerys_timeout():
    with pytest.raises(CeleryTimeoutError):
        probes.durable.apply_async(("later",), countdown=3600).get(timeout=0.1)


@pytest.mark.django_db(transaction=True)
def test_a_caller_can_wait_for_a_durable_task(worker):
    result = probes.durable.delay("one")

    assert result.get(timeout=60) is None  # it stores no result
    assert (result.state, get_state(result.id)) == ("SUCCESS", "done")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "call", [probes.failing.s(), probes.plain_flaky.s(9)], ids=lambda s: s.task
)
def test_a_caller_who_waits_for_a_failed_task_gets_its_error(worker, call):
    result = AsyncResult(call.delay().id)

    with pytest.raises(TaskFailedError, match="nothing to divide by"):
        result.get(timeout=60)
    assert result.state == "FAILURE"


@pytest.mark.django_db
def test_the_cleanup_of_results_logs_how_many_it_deleted():
    for task_id, age in (("old", timedelta(days=2)), ("new", timedelta(0))):
        TaskResult.objects.create(task_id=task_id)
        TaskResult.objects.filter(task_id=task_id).update(date_done=timezone.now() - age)

    with capture_logs() as lines:
        current_app.tasks["celery.backend_cleanup"]()

    purged = {line["table"]: line["deleted"] for line in lines if line["event"] == "purged"}
    assert purged[TaskResult._meta.db_table] == 1
    assert TaskResult.objects.get().task_id == "new"
