import pytest

from apps.tasks.arguments import MASKED, masked
from apps.tasks.dead_letters import keep
from apps.tasks.models import FailedTask, TaskRun
from apps.tasks.tasks import heartbeat


def test_secrets_are_hidden_by_name_at_any_depth():
    arguments = {"user": 1, "auth": [{"API_KEY": "x", "name": "y"}], "password": {"old": "z"}}

    assert masked(arguments) == {
        "user": 1,
        "auth": [{"API_KEY": MASKED, "name": "y"}],
        "password": MASKED,
    }


def test_what_json_cannot_hold_is_kept_as_text():
    assert "object at" in masked([object()])[0]


@pytest.mark.django_db
def test_a_failed_task_is_kept_with_its_error(monkeypatch):
    def broken():
        raise ZeroDivisionError("no heart")

    monkeypatch.setattr(heartbeat, "run", broken)
    result = heartbeat.apply()

    failed = FailedTask.objects.get(pk=result.id)
    assert (failed.name, failed.last_error) == ("tasks.heartbeat", "ZeroDivisionError: no heart")
    assert "Traceback" in failed.traceback


@pytest.mark.django_db
def test_a_task_that_is_done_does_not_become_a_dead_letter():
    done = TaskRun.objects.create(name="tests.durable", status="done")

    keep(str(done.pk), "tests.durable", TimeoutError("too late"), (), {})

    done.refresh_from_db()
    assert (done.status, done.last_error) == ("done", "")


@pytest.mark.django_db
def test_only_failed_runs_are_dead_letters(admin_client):
    TaskRun.objects.create(name="fine", status="done")
    TaskRun.objects.create(name="broken", status="failed")

    page = admin_client.get("/admin/tasks/failedtask/").text

    assert "broken" in page
    assert "fine" not in page
