"""The page of the periodic tasks, and what people do to them."""

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone
from django.utils.formats import date_format
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask, PeriodicTasks

from durable.beat.entries import DeclaredEntry
from durable.broker.queues import peek
from durable.console.models import AuditEntry
from durable.tasks.models import TaskRun
from durable.tests import probes

pytestmark = pytest.mark.django_db
assert probes  # the tasks of the rows
DAY = timedelta(days=1)


@pytest.fixture
def entry(queue):
    """Return a new periodic task."""

    def entry(**fields):
        every, _new = IntervalSchedule.objects.get_or_create(every=1, period="days")
        values = {
            "name": "probe",
            "queue": queue,
            "task": "tests.durable",
            "args": '["one"]',
            "interval": every,
        }
        return PeriodicTask.objects.create(**values | fields)

    return entry


def post(client, row, action):
    return client.post(f"/console/periodic/{row.pk}/{action}/", follow=True)


def text_of(response):
    return " ".join(response.text.split()).replace("\xa0", " ")


def test_all_periodic_tasks_are_listed(viewer, entry, task):
    ran_at = timezone.now() - timedelta(hours=1)
    entry(last_run_at=ran_at)
    entry(name="off", task="tests.idle", enabled=False)
    entry(name="broken", args="{")
    task("failed")

    page = text_of(viewer.get("/console/periodic/"))

    for text in (
        "every day",
        "in 22 hours",
        date_format(timezone.localtime(ran_at), "DATETIME_FORMAT"),
        '<span class="tag failed">failed</span>',
        '<span class="tag paused">disabled</span>',
        "cannot run: args",
    ):
        assert text in page
    assert "Run now" not in page


def test_a_schedule_that_is_none_does_not_break_the_page(viewer, entry):
    crontab = CrontabSchedule.objects.create()
    CrontabSchedule.objects.filter(pk=crontab.pk).update(hour="x")
    entry(interval=None, crontab=crontab)
    row = entry(name="none", enabled=False)
    PeriodicTask.objects.filter(pk=row.pk).update(interval=None)

    assert viewer.get("/console/periodic/").status_code == 200


def test_a_periodic_task_runs_now_once(operator, entry):
    row = entry()

    first, second = post(operator, row, "run"), post(operator, row, "run")

    assert "probe is published." in first.text
    assert f"probe was started by {operator.user} a moment ago." in second.text
    assert TaskRun.objects.get().args == ["one"]
    assert [e.count for e in AuditEntry.objects.order_by("pk")] == [1, 0]
    row.refresh_from_db()
    assert row.last_run_at is None  # so its schedule goes on as before


def test_a_plain_task_runs_now(operator, entry, queue):
    page = post(operator, entry(task="tests.echo"), "run")

    assert "probe is published." in page.text
    assert len(peek(queue, 10)) == 1


@pytest.mark.parametrize(
    ("fields", "reason"),
    [({"task": "gone.task"}, "no task has this name"), ({"args": "{"}, "args: ")],
)
def test_what_cannot_run_gives_the_reason(operator, entry, fields, reason):
    page = post(operator, entry(**fields), "run")

    assert reason in page.text
    assert not TaskRun.objects.exists()


def test_without_redis_a_plain_task_is_not_started(operator, entry, redis_server):
    row = entry(task="tests.echo")
    redis_server.stop()

    assert "the broker does not answer" in post(operator, row, "run").text


def test_a_periodic_task_is_disabled_and_enabled_once(operator, entry):
    row = entry(last_run_at=timezone.now() - 2 * DAY)
    changed = PeriodicTasks.last_change()

    pages = [post(operator, row, action) for action in ("disable", "disable", "enable", "enable")]

    for page, text in zip(
        pages,
        ("is disabled", "was disabled already", "is enabled", "was enabled already"),
        strict=True,
    ):
        assert f"probe {text}." in page.text
    assert PeriodicTasks.last_change() > changed
    row.refresh_from_db()
    assert row.enabled
    assert not DeclaredEntry(row).is_due().is_due  # the days that it missed do not count
    assert [e.count for e in AuditEntry.objects.order_by("pk")] == [1, 0, 1, 0]


def test_a_periodic_task_that_cannot_run_is_not_enabled(operator, entry):
    row = entry(enabled=False, args="{")

    assert "probe cannot run: args" in post(operator, row, "enable").text
    row.refresh_from_db()
    assert not row.enabled


@pytest.mark.parametrize(
    ("pk", "action", "status"), [("1", "run", 404), ("9" * 30, "run", 404), ("1", "explode", 400)]
)
def test_what_does_not_exist_is_not_acted_on(operator, pk, action, status):
    response = operator.post(f"/console/periodic/{pk}/{action}/")

    assert response.status_code == status
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize("action", ["run", "enable", "disable"])
def test_an_action_needs_its_own_permission(login, operator, entry, action):
    others = ("view_console", "run_work", "pause_queues", "stop_work")

    assert post(login(*others), entry(), action).status_code == 403
    assert not AuditEntry.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_of_several_people_at_once_one_runs_it(login, entry):
    row, together, codes = entry(), threading.Barrier(4), []
    client = login("view_console", "change_schedule")

    def act():
        together.wait()
        codes.append(client.post(f"/console/periodic/{row.pk}/run/").status_code)
        connection.close()

    threads = [threading.Thread(target=act) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert codes == [302] * 4
    assert TaskRun.objects.count() == 1
