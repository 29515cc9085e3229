"""What staff may do with the periodic tasks."""

import json

import pytest
from celery import current_app
from django.contrib.auth.models import Permission
from django.contrib.messages import get_messages
from django.urls import reverse
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from durable.beat.tests.helpers import every_hour
from durable.beat.tests.test_bad_rows import VALUES

pytestmark = pytest.mark.django_db


def url(page, *args, model="periodictask"):
    return reverse(f"admin:django_celery_beat_{model}_{page}", args=args)


@pytest.fixture
def entry():
    return PeriodicTask.objects.create(name="sweep", task="tasks.heartbeat", interval=every_hour())


def fields_of(row, **values):
    """Return what the page of a row posts."""
    texts = {"name": row.name, "task": row.task, "args": row.args, "kwargs": row.kwargs}
    form = {**texts, "headers": row.headers, "enabled": "on", "interval": row.interval_id, **values}
    return {name: value for name, value in form.items() if value is not None}


@pytest.mark.parametrize(("may", "enabled"), [("view", True), ("change", False)])
def test_a_view_only_user_disables_nothing(client, django_user_model, entry, may, enabled):
    user = django_user_model.objects.create_user("ann@example.com", is_staff=True)
    names = {"view_periodictask", f"{may}_periodictask"}
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    client.force_login(user)

    client.post(url("changelist"), {"action": "disable_tasks", "_selected_action": [entry.pk]})

    entry.refresh_from_db()
    assert entry.enabled is enabled


@pytest.mark.parametrize("name", VALUES)
def test_the_page_refuses_what_beat_cannot_run(admin_client, entry, name):
    values, _reason = VALUES[name]

    page = admin_client.post(url("change", entry.pk), fields_of(entry, **values))

    assert page.status_code == 200
    assert page.context["errors"]
    entry.refresh_from_db()
    assert entry.task == "tasks.heartbeat"
    assert (entry.args, entry.queue, entry.exchange) == ("[]", None, None)


@pytest.mark.parametrize("task", ["tasks.haertbeat", "x" * 201, "a\0b"])
def test_the_page_refuses_a_task_that_does_not_exist(admin_client, entry, task):
    page = admin_client.post(url("change", entry.pk), fields_of(entry, task=task))

    assert page.context["errors"]


def test_a_bad_row_can_be_disabled_but_not_enabled(admin_client, entry):
    PeriodicTask.objects.update(queue="emials")
    enabled = fields_of(entry, queue="emials")

    assert admin_client.post(url("change", entry.pk), enabled).context["errors"]
    saved = admin_client.post(url("change", entry.pk), {**enabled, "enabled": ""})

    assert saved.status_code == 302


def test_a_good_row_is_saved(admin_client, entry):
    queue = current_app.conf.task_default_queue

    saved = admin_client.post(url("change", entry.pk), fields_of(entry, queue=queue))

    assert saved.status_code == 302
    entry.refresh_from_db()
    assert entry.queue == queue


@pytest.mark.parametrize(("enabled", "shown"), [(True, True), (False, False)])
def test_the_list_shows_why_beat_skips_a_row(admin_client, entry, enabled, shown):
    PeriodicTask.objects.update(headers="[]", enabled=enabled)

    page = admin_client.get(url("changelist")).content.decode()

    assert ("cannot run: headers: [] is not an object" in page) is shown


@pytest.mark.parametrize(
    ("model", "fields", "reason"),
    [
        ("crontabschedule", {"day_of_month": "31", "month_of_year": "2"}, "never occurs"),
        ("crontabschedule", {"day_of_week": "-5/7"}, "negative numbers"),
        ("crontabschedule", {"day_of_week": "7"}, "7 &gt; 6"),
        ("intervalschedule", {"every": 1, "period": "microseconds"}, "too short"),
        ("intervalschedule", {"every": 2**31 - 1, "period": "days"}, "interval: "),
        ("solarschedule", {"event": "sunset", "latitude": 52, "longitude": 13}, "ephem"),
    ],
)
def test_a_schedule_that_beat_cannot_use_is_refused(admin_client, model, fields, reason):
    every_minute = dict.fromkeys(
        ("minute", "hour", "day_of_month", "month_of_year", "day_of_week"), "*"
    )
    form = {**every_minute, "timezone": "UTC", **fields}

    page = admin_client.post(url("add", model=model), form)

    assert page.status_code == 200
    assert reason in page.content.decode()


def test_a_bad_crontab_breaks_no_page(admin_client):
    crontab = CrontabSchedule.objects.create(day_of_week="-5/7")
    row = PeriodicTask.objects.create(name="bad", task="tasks.heartbeat", crontab=crontab)

    for page in (
        url("changelist"),
        url("add"),
        url("change", row.pk),
        url("changelist", model="crontabschedule"),
        url("change", crontab.pk, model="crontabschedule"),
    ):
        assert admin_client.get(page).status_code == 200


@pytest.mark.parametrize(
    ("values", "answer"),
    [
        ({}, ["1 of 1 published."]),
        ({"args": "{"}, ["sweep: args: Expecting", "0 of 1 published."]),
        ({"task": "a.b"}, ["sweep: no task has this name", "0 of 1 published."]),
    ],
)
def test_a_row_is_run_at_once_or_the_reason_is_shown(admin_client, entry, values, answer):
    PeriodicTask.objects.update(**values)
    run = {"action": "run_tasks", "_selected_action": [entry.pk]}

    page = admin_client.post(url("changelist"), run)

    told = [str(message) for message in get_messages(page.wsgi_request)]
    assert [each[: len(start)] for each, start in zip(told, answer, strict=True)] == answer


def test_without_a_broker_running_a_row_says_so(admin_client, entry, redis_server):
    redis_server.stop()
    run = {"action": "run_tasks", "_selected_action": [entry.pk]}

    page = admin_client.post(url("changelist"), run)

    told = json.dumps([str(message) for message in get_messages(page.wsgi_request)])
    assert "the broker does not answer" in told
