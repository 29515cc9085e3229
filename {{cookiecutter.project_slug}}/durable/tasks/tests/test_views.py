"""A user polls the state of a task that their own request has caused."""

import json
from uuid import UUID

import pytest
import structlog
from django.contrib.auth import get_user_model
from django.db.models.functions import Now
from django.http import HttpResponse
from django.test import Client
from django.urls import path

from durable.tasks import failures
from durable.tasks.models import TaskRun
from durable.tasks.progress import save_progress
from durable.tests import probes

pytestmark = pytest.mark.django_db
UNKNOWN = UUID("5f322169-4680-4242-b603-d8a592e58a19")


def call(_request):
    """A view that queues a task."""
    return HttpResponse(probes.durable.delay("one").id)


urlpatterns = [path("call/", call)]


@pytest.fixture
def ann():
    client = Client()
    client.user = get_user_model().objects.create_user("ann@example.com", "a long password")
    client.force_login(client.user)
    return client


@pytest.fixture
def run(ann, redis_server):
    return TaskRun.objects.create(name="tests.durable", queue="default", user_id=str(ann.user.pk))


def state_of(client, pk):
    return client.get(f"/tasks/{pk}/")


def test_the_row_of_a_task_knows_the_user_of_its_request(ann, settings, redis_server):
    settings.ROOT_URLCONF = __name__

    task_id = ann.get("/call/").text
    other = Client().get("/call/").text

    assert TaskRun.objects.get(pk=task_id).user_id == str(ann.user.pk)
    assert TaskRun.objects.get(pk=other).user_id == ""


def test_the_owner_sees_state_and_progress(ann, run):
    before = state_of(ann, run.pk)
    save_progress(str(run.pk), 1, 4, "reading")
    TaskRun.objects.update(status="running")
    after = json.loads(state_of(ann, run.pk).content)

    assert json.loads(before.content) == {"id": str(run.pk), "state": "queued", "progress": None}
    assert "no-store" in before["Cache-Control"]
    assert after["state"] == "running"
    shown = {name: after["progress"][name] for name in ("done", "total", "message", "percent")}
    assert shown == {"done": 1, "total": 4, "message": "reading", "percent": 25}


def test_a_failure_shows_no_detail(ann, run):
    secret = {"last_error": "ValueError: sesame", "traceback": "sesame"}
    TaskRun.objects.update(status="failed", finished_at=Now(), **secret)

    response = state_of(ann, run.pk)

    assert json.loads(response.content)["state"] == "failed"
    assert "sesame" not in response.text


def test_all_others_get_the_answer_of_an_unknown_id(client, admin_client, ann, run):
    nobodys = TaskRun.objects.create(name="tests.durable")

    for each in (client, admin_client):
        assert state_of(each, run.pk).status_code == 404
        assert state_of(each, nobodys.pk).status_code == 404
    for pk in (nobodys.pk, UNKNOWN, "1"):
        assert state_of(ann, pk).status_code == 404
    assert ann.post(f"/tasks/{run.pk}/").status_code == 405


def test_without_redis_the_state_is_still_known(ann, run, redis_server):
    redis_server.stop()

    assert json.loads(state_of(ann, run.pk).content)["progress"] is None


def test_a_replay_belongs_to_the_same_user(ann, run):
    TaskRun.objects.update(status="failed", finished_at=Now())
    run.refresh_from_db()

    assert failures.replay(run).user_id == str(ann.user.pk)


def test_what_a_task_queues_belongs_to_the_same_user(redis_server):
    with structlog.contextvars.bound_contextvars(user_id=7):
        task_id = probes.durable.delay("one").id

    assert TaskRun.objects.get(pk=task_id).user_id == "7"
