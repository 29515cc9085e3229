"""What people can do about tasks that have failed for good."""

import pytest
from celery import current_app
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from durable.tasks import tasks
from durable.tasks.failures import replay
from durable.tasks.models import FailedTask, TaskRun
from durable.tests import probes

pytestmark = pytest.mark.django_db
assert probes  # the tasks that fail here


@pytest.fixture
def fail():
    def fail(name="tests.durable", args=None, **fields):
        values = {
            "error_type": "ValueError",
            "last_error": "ValueError: no",
            "finished_at": Now(),
            **fields,
        }
        return FailedTask.objects.create(name=name, args=args or ["one"], status="failed", **values)

    return fail


def change(failed):
    return reverse("admin:tasks_failedtask_change", args=[failed.pk])


def test_a_second_replay_is_the_first(fail):
    failed = fail()

    first, second = replay(failed), replay(failed)

    assert first == second
    assert (first.replay_of_id, first.args, first.status) == (failed.pk, ["one"], "queued")
    assert first.pk != failed.pk


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"name": "gone.task"}, "there is no task of this name"),
        ({"kwargs": {"password": "********"}}, "a secret among its arguments was not stored"),
        ({"options": {"chain": [{"kwargs": {"token": "********"}}]}}, "was not stored"),
        ({"name": "mail.deliver_email"}, 'use "Resend"'),
    ],
    ids=["unknown", "masked", "masked in what follows", "a mail"],
)
def test_a_task_that_cannot_be_replayed_gives_the_reason(fail, fields, reason):
    with pytest.raises(ValueError, match=reason):
        replay(fail(**fields))


def test_a_replay_without_a_queue_is_routed(fail):
    assert (
        replay(fail("reports.probe", queue="")).queue
        == current_app.amqp.router.route({}, "reports.probe")["queue"].name
    )


def test_the_button_replays_it(fail, admin_client):
    failed = fail()

    page = admin_client.post(
        reverse("admin:tasks_failedtask_replay", args=[failed.pk]), follow=True
    )

    assert "Replayed as" in page.text
    assert f"queued: {TaskRun.objects.get(replay_of=failed).pk}" in page.text


def test_the_page_hides_secrets_and_shows_the_rest(fail, admin_client):
    failed = fail(kwargs={"api_key": "sesame", "order": 7}, traceback="Traceback: line 1")

    page = admin_client.get(change(failed)).text

    assert "sesame" not in page
    assert "&quot;order&quot;: 7" in page
    assert "Traceback: line 1" in page


def test_the_list_filters_by_task_and_error_and_replays_or_discards(fail, admin_client):
    fail()
    other = fail("tests.flaky", error_type="KeyError", last_error="KeyError: x")
    url = reverse("admin:tasks_failedtask_changelist")

    page = admin_client.get(f"{url}?name=tests.flaky&error_type=KeyError").text
    admin_client.post(url, {"action": "replay", "_selected_action": [str(other.pk)]})
    admin_client.post(url, {"action": "discard", "_selected_action": [str(other.pk)]})

    assert "KeyError: x" in page
    assert "ValueError: no" not in page
    assert TaskRun.objects.filter(name="tests.flaky", status="queued").count() == 1
    assert FailedTask.objects.count() == 1


@pytest.mark.parametrize("way", ["admin", "command", "purge"])
def test_deleted_rows_are_not_read_and_go_in_batches(fail, admin_client, monkeypatch, way):
    monkeypatch.setattr("durable.requeue.PURGE_BATCH", 2)
    chosen = [fail(finished_at="2001-01-01T00:00Z", traceback="long").pk for _ in range(5)]
    url = reverse("admin:tasks_failedtask_changelist")

    with CaptureQueriesContext(connection) as queries:
        if way == "admin":
            admin_client.post(url, {"action": "discard", "_selected_action": chosen})
        elif way == "command":
            call_command("failed_tasks", "discard", "--all")
        else:
            tasks.purge_old_runs()

    assert not FailedTask.objects.exists()
    statements = [query["sql"] for query in queries]
    assert not [sql for sql in statements if '"traceback"' in sql or '"args"' in sql]
    assert len([sql for sql in statements if sql.startswith('DELETE FROM "tasks_taskrun"')]) == 3


def test_the_command_lists_replays_and_discards(fail, capsys):
    failed = fail()
    fail("tests.flaky")

    call_command("failed_tasks", "list")
    call_command("failed_tasks", "replay", str(failed.pk))
    call_command("failed_tasks", "discard", "--name", "tests.flaky")

    output = capsys.readouterr().out
    assert "2 failed" in output
    assert f"{failed.pk} replayed as {TaskRun.objects.get(replay_of=failed).pk}: queued" in output
    assert "1 discarded" in output
    assert FailedTask.objects.get() == failed


def test_the_command_asks_which_tasks(fail):
    with pytest.raises(CommandError, match="name the tasks"):
        call_command("failed_tasks", "discard")
    with pytest.raises(CommandError, match="not a valid UUID"):
        call_command("failed_tasks", "replay", "seven")


def test_the_command_reports_what_it_cannot_replay(fail, capsys):
    fail("gone.task")
    fail()

    with pytest.raises(CommandError, match="1 replayed, 1 cannot be replayed"):
        call_command("failed_tasks", "replay", "--all")
    assert "there is no task of this name" in capsys.readouterr().err
