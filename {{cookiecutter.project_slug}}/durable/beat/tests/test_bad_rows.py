"""Rows that Beat cannot run: it skips them, says so once, and runs the others."""

from datetime import UTC, datetime, timedelta

import pytest
from celery import current_app
from django.db import connection
from django.utils import timezone
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    PeriodicTasks,
    SolarSchedule,
)

from durable.beat.entries import MAX_COUNT, find_problem
from durable.beat.tests.helpers import Beat, every_hour, make_due
from durable.tests import probes

pytestmark = pytest.mark.django_db(transaction=True)


def interval(every, period="seconds"):
    return lambda: {"interval": IntervalSchedule.objects.create(every=every, period=period)}


def crontab(**fields):
    return lambda: {"crontab": CrontabSchedule.objects.create(**fields)}


def clocked(time, **fields):
    return lambda: {"clocked": ClockedSchedule.objects.create(clocked_time=time), **fields}


def solar():
    return {"solar": SolarSchedule.objects.create(event="sunset", latitude=52, longitude=13)}


LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
SCHEDULES = {
    "no schedule": (dict, "set one of interval"),
    "two schedules": (lambda: interval(60)() | crontab()(), "not 2 of them"),
    "solar without ephem": (solar, "ephem"),
    "a month without that day": (crontab(day_of_month="31", month_of_year="2"), "never occurs"),
    "Sunday as 7": (crontab(day_of_week="7"), "7 > 6"),
    "an empty minute": (crontab(minute=""), "crontab: empty part"),
    "a negative weekday": (crontab(day_of_week="-5/7"), "crontab: "),
    "minute 61": (crontab(minute="61"), "61 > 59"),
    "words": (crontab(hour="noon"), "noon"),
    "a step of nothing": (crontab(minute="*/0"), "crontab: "),
    "an interval of nothing": (interval(0), "too short"),
    "a negative interval": (interval(-1), "too short"),
    "a microsecond": (interval(1, "microseconds"), "too short"),
    "an interval of ages": (interval(MAX_COUNT, "days"), "interval: "),
    "an interval past the end of time": (interval(999_999_999, "days"), "interval: "),
    "an interval without unit": (interval(1, "fortnights"), "interval: "),
    "clocked, but not once": (clocked(LONG_AGO), "set one-off"),
}
VALUES = {
    "headers: a list": ({"headers": "[]"}, 'headers: [] is not an object, such as {"a": 1}'),
    "headers: null": ({"headers": "null"}, "headers: null is not an object"),
    "headers: no JSON": ({"headers": "{"}, "headers: Expecting"),
    "headers: Celery's own": ({"headers": '{"timelimit": ["x"]}'}, "timelimit belong to Celery"),
    "headers: the engine's own": ({"headers": '{"task_run": true}'}, "task_run belong to"),
    "args: an object": ({"args": "{}"}, "args: {} is not a list"),
    "args: a text": ({"args": '"ab"'}, 'args: "ab" is not a list'),
    "args: no JSON": ({"args": "['a']"}, "args: Expecting"),
    "args: NaN": ({"args": "[NaN]"}, "args: Out of range float"),
    "args: endless": ({"args": "[1e999]"}, "args: Out of range float"),
    "args: NUL": ({"args": '["\\u0000"]'}, "args: a text holds NUL"),
    "args: half a character": ({"args": '["\\ud83d"]'}, "half of a surrogate pair"),
    "args: deep": ({"args": "[" * 100_000}, "args: maximum recursion depth"),
    "args: odd types": ({"args": '[{"__type__": "datetime", "__value__": 1}]'}, "args: "),
    "args: too many": ({"args": "[1]"}, "takes 0 positional arguments but 1 was given"),
    "args: too large": (
        {"task": "a.b", "args": f'["{"x" * 300_000}"]'},
        "the arguments take 300,010 bytes",
    ),
    "kwargs: a list": ({"kwargs": "[]"}, "kwargs: [] is not an object"),
    "kwargs: a number": ({"kwargs": "1"}, "kwargs: 1 is not an object"),
    "kwargs: unknown": ({"kwargs": '{"x": 1}'}, "unexpected keyword argument 'x'"),
    "an unknown queue": ({"queue": "emials"}, "queue: 'emials' is not one of "),
    "an exchange": ({"exchange": "x"}, "set a queue instead"),
    "a routing key": ({"routing_key": "x"}, "set a queue instead"),
    "a high priority": ({"priority": 256}, "priority: 256 is not a number from 0 to 255"),
    "a durable task that expires": (
        {"task": probes.durable.name, "args": '["a"]', "expire_seconds": 60},
        "a durable task has no `expires`",
    ),
    "a durable task with a priority": (
        {"task": probes.durable.name, "args": '["a"]', "priority": 3},
        "a durable task has no `priority`",
    ),
    "no task": ({"task": ""}, "task: no name given"),
}


@pytest.fixture(params=[*SCHEDULES, *VALUES])
def bad(request):
    """Return a row and a part of the reason why it cannot run."""
    fields, reason = (SCHEDULES | VALUES)[request.param]
    fields = fields() if callable(fields) else {"interval": every_hour(), **fields}
    # Not `save`, which refuses some of them.
    (row,) = PeriodicTask.objects.bulk_create(
        [PeriodicTask(**{"name": "bad", "task": "tasks.heartbeat", **fields})]
    )
    return row, reason


def problems(caplog):
    return [
        record.msg["problem"]
        for record in caplog.records
        if isinstance(record.msg, dict) and record.msg["event"] == "periodic_task_cannot_run"
    ]


def test_a_bad_row_is_skipped_and_named_once_and_the_others_run(hourly, published, bad, caplog):
    row, reason = bad
    beat = Beat()
    beat.run_due()
    for _ in range(3):
        make_due()
        make_due(row.name)
        beat.run_due()

    assert published == ["tests.hourly"] * 3
    (problem,) = problems(caplog)
    assert reason in problem
    assert "\n" not in problem


def test_a_row_that_changed_and_is_still_bad_is_named_again(hourly, caplog):
    row = PeriodicTask.objects.create(name="bad", task="a.b", interval=every_hour(), queue="emials")
    beat = Beat()
    beat.run_due()
    row.save()
    beat.run_due()

    assert len(problems(caplog)) == 2


def test_a_row_runs_as_soon_as_it_is_corrected(hourly, published):
    PeriodicTask.objects.create(name="bad", task="a.b", interval=every_hour(), queue="emials")
    beat = Beat()
    beat.run_due()
    PeriodicTask.objects.update(queue=None)
    make_due("bad")

    beat.run_due()

    assert published == ["a.b"]


def test_a_time_zone_that_does_not_exist_stops_no_other(hourly, published, caplog):
    schedule = CrontabSchedule.objects.create()
    PeriodicTask.objects.create(name="bad", task="a.b", crontab=schedule)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE django_celery_beat_crontabschedule SET timezone = 'Mars/Base'")
    beat = Beat()
    beat.run_due()
    make_due()
    beat.run_due()

    assert published == ["tests.hourly"]
    assert "Mars/Base" in problems(caplog)[0]


@pytest.mark.parametrize("fields", [{"name": "\0"}, {"task": "\udcff"}, {"crontab_id": 77}])
def test_what_a_table_rarely_holds_is_a_problem_too(fields):
    row = PeriodicTask(**{"name": "bad", "task": "a.b", **fields})
    row.interval = None if row.crontab_id else every_hour()

    assert find_problem(row)


@pytest.mark.parametrize(
    ("fields", "disabled"),
    [
        ({"expires": LONG_AGO}, True),
        ({"one_off": True, "total_run_count": 1}, True),
        ({"total_run_count": MAX_COUNT}, False),
        ({"last_run_at": datetime(1970, 1, 1, tzinfo=UTC)}, False),
        ({"name": 'a "name" of \N{PILE OF POO} \n lines'}, False),
    ],
)
def test_an_odd_row_is_run_or_disabled_and_stops_no_other(hourly, published, fields, disabled):
    fields = {"name": "odd", "last_run_at": LONG_AGO, **fields}
    row = PeriodicTask.objects.create(task="a.b", interval=every_hour(), **fields)
    beat = Beat()
    beat.run_due()
    make_due()
    beat.run_due()
    row.refresh_from_db()

    assert row.enabled is not disabled
    assert sorted(published) == ["tests.hourly"] if disabled else ["a.b", "tests.hourly"]


def test_an_entry_that_fails_when_it_is_published_is_named_once(
    hourly, published, caplog, monkeypatch
):
    monkeypatch.setattr(Beat, "send_task", lambda *_, **__: 1 / 0)
    beat = Beat()
    beat.run_due()
    for _ in range(2):
        PeriodicTask.objects.update(last_run_at=LONG_AGO)
        PeriodicTasks.update_changed()
        beat.run_due()

    assert "tests.hourly" not in published
    assert problems(caplog) == ["ZeroDivisionError: division by zero"]


def test_a_good_row_has_no_problem():
    row = PeriodicTask(
        name="good",
        task="tasks.heartbeat",
        interval=every_hour(),
        queue=current_app.conf.task_default_queue,
        priority=255,
        headers='{"x": 1}',
        start_time=timezone.now() + timedelta(days=1),
        expire_seconds=MAX_COUNT,
    )

    assert find_problem(row) == ""
