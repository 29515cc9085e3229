"""What runs in the workers and waits in the broker, and how people stop it."""

import json

import pytest
from celery import current_app
from django.core.cache import cache

from durable.broker.queues import peek
from durable.console import messages, overview
from durable.console.models import AuditEntry
from durable.tasks.models import TaskRun
from durable.testing.runlog import ran
from durable.testing.workers import wait_until
from durable.tests import probes

LONG = 600  # seconds; longer than the test


def text_of(response):
    return " ".join(response.text.split())


@pytest.mark.django_db
def test_messages_are_shown_in_order_without_secrets_and_stay(viewer, queue):
    probes.echo.apply_async(["first"], queue=queue)
    secret = {"word": "second", "password": "sesame"}
    current_app.send_task("tests.echo", kwargs=secret, queue=queue)

    page = text_of(viewer.get(f"/console/queues/{queue}/"))

    assert 0 < page.index("&quot;first&quot;") < page.index("word=&quot;second&quot;")
    assert "password=&quot;********&quot;" in page
    assert "sesame" not in page
    assert len(peek(queue, 10)) == 2


@pytest.mark.django_db(transaction=True)
def test_the_message_of_a_durable_task_links_to_its_row(viewer, queue):
    run = probes.durable.apply_async(["one"], queue=queue)

    page = text_of(viewer.get(f"/console/queues/{queue}/"))

    assert f'<a href="/console/tasks/{run.id}/">tests.durable</a>' in page
    assert "in its row" in page


@pytest.mark.django_db
def test_a_page_shows_a_bounded_number_of_messages(viewer, queue, monkeypatch):
    monkeypatch.setattr(messages, "MAX_MESSAGES", 2)
    for word in "abc":
        probes.echo.apply_async([word], queue=queue)

    shown = viewer.get(f"/console/queues/{queue}/").context["waiting"]

    assert [message.arguments for message in shown] == ['"a"', '"b"']


@pytest.mark.django_db
@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        json.dumps({"body": 1}).encode(),
        json.dumps(
            {
                "body": "[",
                "headers": {"id": 1, "task": ["x"], "retries": "y", "eta": {}},
                "properties": {
                    "delivery_tag": "1",
                    "delivery_info": {"exchange": "", "routing_key": "q"},
                },
            }
        ).encode(),
    ],
)
def test_any_message_can_be_shown(viewer, queue, raw):
    with current_app.connection_for_write() as broker:
        channel = broker.default_channel
        channel.client.lpush(channel._q_for_pri(queue, 0), raw)

    page = viewer.get(f"/console/queues/{queue}/")

    assert page.status_code == 200
    assert "unreadable" in page.text


@pytest.mark.django_db
def test_arguments_of_a_large_message_are_not_read(viewer, queue):
    probes.echo.apply_async(["x" * messages.MAX_SIZE], queue=queue)

    assert "bytes, not read" in viewer.get(f"/console/queues/{queue}/").text


@pytest.mark.django_db
def test_an_unknown_queue_has_no_page(viewer):
    assert viewer.get("/console/queues/nowhere/").status_code == 404


@pytest.mark.django_db
def test_without_redis_the_pages_say_so(operator, redis_server):
    redis_server.stop()

    pages = [operator.get("/console/workers/"), operator.get("/console/queues/default/")]
    stopped = operator.post("/console/workers/stop/", {"task_id": "1"})

    assert [page.status_code for page in (*pages, stopped)] == [200, 503, 503]
    assert all("Redis does not answer" in page.text for page in (*pages, stopped))
    assert not AuditEntry.objects.exists()


def running(name):
    """Return what the workers' processes run under a name."""
    cache.delete(overview.WORKERS_KEY)
    _lengths, workers = overview.read_broker()
    return [
        run
        for worker in overview.describe_workers(workers or {})
        for run in worker["runs"]
        if run["name"] == name
    ]


@pytest.mark.django_db(transaction=True)
def test_a_running_plain_task_is_stopped_once(worker, operator):
    task = probes.report.delay(LONG)
    wait_until(lambda: running("reports.probe"))
    assert f"plain, {task.id}" in text_of(operator.get("/console/workers/"))

    page = operator.post("/console/workers/stop/", {"task_id": task.id}, follow=True)

    assert "reports.probe is stopped." in page.text
    wait_until(lambda: not running("reports.probe"))
    again = operator.post("/console/workers/stop/", {"task_id": task.id})
    assert again.status_code == 404
    probes.echo.delay("after")
    wait_until(lambda: "after" in ran())
    assert ran() == ["report", "after"]
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.kind, entry.target) == (
        "stop",
        "plain task",
        f"reports.probe {task.id}",
    )


@pytest.mark.django_db(transaction=True)
def test_a_running_durable_task_is_stopped_once_and_stays_canceled(worker, operator):
    run = probes.durable.delay("long", seconds=LONG)
    wait_until(lambda: running("tests.durable"))
    assert f'href="/console/tasks/{run.id}/"' in operator.get("/console/workers/").text

    page = operator.post("/console/workers/stop/", {"task_id": run.id}, follow=True)
    again = operator.post(f"/console/tasks/{run.id}/stop/", follow=True)

    assert "1 of 1 stopped." in page.text
    assert "0 of 1 stopped." in again.text
    wait_until(lambda: not running("tests.durable"))
    row = TaskRun.objects.get()
    assert (row.status, row.error_type, row.attempts) == ("failed", "TaskRevokedError", 1)
    assert "Stopped while it ran" in row.last_error
    assert ran() == ["long"]


def received():
    """Return the names of the tasks that workers have received and not started."""
    cache.delete(overview.WORKERS_KEY)
    _lengths, workers = overview.read_broker()
    return [task["name"] for each in (workers or {}).values() for task in each["received"]]


@pytest.mark.django_db(transaction=True)
def test_a_task_that_waits_in_a_worker_for_its_time_is_shown(worker, viewer):
    later = probes.echo.apply_async(["later"], countdown=60)
    wait_until(lambda: received() == ["tests.echo"])

    page = text_of(viewer.get("/console/workers/"))

    waiting = page[page.index("Received, not started") :]
    assert f"plain, {later.id}" in waiting
    assert "<time datetime=" in waiting
    assert "1 received, not started" in text_of(viewer.get("/console/"))


@pytest.mark.django_db
def test_a_page_shows_a_bounded_number_of_tasks_that_wait_in_a_worker(viewer):
    task = {"id": "1", "name": "tests.echo", "queue": "default", "durable": False, "due": None}
    answer = {"queues": [], "processes": 2, "runs": [], "waiting": 70, "received": [task]}
    cache.set(overview.WORKERS_KEY, {"one@host": answer}, 60)

    page = text_of(viewer.get("/console/workers/"))

    assert "a process is free" in page
    assert "70 in all; the first 1 are shown" in page


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["", "workers/"])
def test_a_worker_that_does_not_answer_is_named(viewer, task, path):
    cache.set(overview.WORKERS_KEY, {"here@host": {}}, 60)
    task("running", worker="here@host")
    for _ in range(2):
        task("running", worker="gone@host")

    page = text_of(viewer.get(f"/console/{path}"))

    assert (
        "gone@host does not answer within a second, and 2 durable tasks should run there." in page
    )
    assert "here@host does not answer" not in page


@pytest.mark.django_db
@pytest.mark.parametrize("state", ["queued", "done", "failed", "canceled"])
def test_only_a_running_task_is_stopped(operator, task, state):
    run = task(state)

    assert "0 of 1 stopped." in operator.post(f"/console/tasks/{run.pk}/stop/", follow=True).text


@pytest.mark.django_db
def test_viewers_cannot_stop(viewer, task):
    cache.set(overview.WORKERS_KEY, {}, 60)

    assert ">Stop<" not in viewer.get("/console/workers/").text
    assert viewer.post("/console/workers/stop/", {"task_id": "1"}).status_code == 403
    assert viewer.post(f"/console/tasks/{task('running').pk}/stop/").status_code == 403
