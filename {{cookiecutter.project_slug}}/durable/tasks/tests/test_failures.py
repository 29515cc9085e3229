import logging
from logging.config import dictConfigClass

import pytest
from celery.app.task import Context
from django.conf import settings
from django.db import OperationalError

from durable.tasks import failures
from durable.tasks.failures import record_failure, replay
from durable.tasks.models import FailedTask, TaskRun
from durable.tasks.redaction import REDACTED, redact
from durable.tasks.tasks import heartbeat


def test_secrets_are_redacted_by_name_at_any_depth():
    arguments = {"user": 1, "auth": [{"API_KEY": "x", "name": "y"}], "password": {"old": "z"}}

    assert redact(arguments) == {
        "user": 1,
        "auth": [{"API_KEY": REDACTED, "name": "y"}],
        "password": REDACTED,
    }


def test_a_value_that_is_no_json_is_stored_as_text():
    assert "object at" in redact([object()])[0]


@pytest.mark.django_db
def test_a_failed_task_is_stored_with_its_error(monkeypatch):
    def broken():
        raise ZeroDivisionError("no heart")

    monkeypatch.setattr(heartbeat, "run", broken)
    result = heartbeat.apply()

    failed = FailedTask.objects.get(pk=result.id)
    assert (failed.name, failed.last_error) == ("tasks.heartbeat", "ZeroDivisionError: no heart")
    assert "Traceback" in failed.traceback


@pytest.mark.django_db
def test_a_done_task_does_not_become_a_failed_one():
    done = TaskRun.objects.create(name="tests.durable", status="done")

    record_failure(str(done.pk), "tests.durable", TimeoutError("too late"), (), {})

    done.refresh_from_db()
    assert (done.status, done.last_error) == ("done", "")


@pytest.mark.django_db
def test_only_failed_runs_are_listed(admin_client):
    TaskRun.objects.create(name="fine", status="done")
    TaskRun.objects.create(name="broken", status="failed")

    page = admin_client.get("/admin/tasks/failedtask/").text

    assert "broken" in page
    assert "fine" not in page


@pytest.mark.django_db
def test_a_run_that_another_worker_holds_does_not_fail():
    held = TaskRun.objects.create(name="tests.durable", status="running", worker="celery@b")

    record_failure(str(held.pk), "tests.durable", TimeoutError("late"), (), {}, worker="celery@a")
    held.refresh_from_db()
    assert held.status == "running"

    record_failure(
        str(held.pk), "tests.durable", TimeoutError("late"), (), {}, worker="celery@b", queue=""
    )
    held.refresh_from_db()
    assert held.status == "failed"


@pytest.mark.django_db
def test_an_unknown_value_overwrites_nothing_of_a_failed_task():
    failed = TaskRun.objects.create(name="x", status="failed", queue="default", worker="celery@a")

    record_failure(str(failed.pk), "x", TimeoutError("late"), (), {}, worker="", queue="")

    failed.refresh_from_db()
    assert (failed.queue, failed.worker) == ("default", "celery@a")


@pytest.mark.django_db(transaction=True)
def test_a_failed_task_is_stored_though_the_connection_was_lost(monkeypatch):
    write, errors = failures.write_failure, [OperationalError("the connection is closed")]

    def flaky(*args, **values):
        if errors:
            raise errors.pop()
        write(*args, **values)

    monkeypatch.setattr(failures, "write_failure", flaky)
    record_failure("some-task", "tests.echo", OperationalError("gone"), (), {})

    assert FailedTask.objects.get().last_error == "OperationalError: gone"


def test_the_log_of_a_failed_task_holds_no_arguments():
    record = logging.makeLogRecord(
        {
            "name": "celery.app.trace",
            "msg": "Task failed",
            "data": {"kwargs": "{'password': 'sesame'}"},
        }
    )
    formatter = dictConfigClass(settings.LOGGING).configure_formatter(
        settings.LOGGING["formatters"]["service"]
    )

    line = formatter.format(record)

    assert "Task failed" in line
    assert "sesame" not in line


@pytest.mark.parametrize("chain", ["abc", [1], [{"task": "x"}], 7])
def test_links_of_another_form_stop_no_failure_from_being_stored(chain):
    request = Context(chain=chain)

    assert failures.links_of(request) == {}


@pytest.mark.django_db
def test_a_durable_tasks_secret_is_redacted_and_it_can_be_replayed(admin_client):
    failed = FailedTask.objects.create(name="tests.failing", args=["sesame"], status="failed")

    page = admin_client.get(f"/admin/tasks/failedtask/{failed.pk}/change/").text

    assert REDACTED in page
    assert "sesame" not in page
    assert replay(failed).args == ["sesame"]
