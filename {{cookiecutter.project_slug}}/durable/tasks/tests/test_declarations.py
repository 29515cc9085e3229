"""What is refused where it is written: declarations, options, starts and arguments of tasks."""

import asyncio
import functools
import math
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from celery import current_app, shared_task, signals
from django.db import transaction
from django.utils import timezone

from durable.tasks.base import DurableTask, Task
from durable.tasks.checks import check_limits
from durable.tasks.models import TaskRun
from durable.tests import probes

pytestmark = pytest.mark.django_db

BASES = pytest.mark.parametrize("base", [Task, DurableTask])
NOT_STORABLE = {
    "NaN": math.nan,
    "infinity": math.inf,
    "nested NaN": {"a": [1, {"b": -math.inf}]},
    "NUL": "a\x00b",
    "NUL in a key": {"a\x00": 1},
    "half a surrogate pair": "\ud83d",
}


@contextmanager
def published():
    """Yield the headers of the next message."""
    seen = {}

    def note(headers, **_):
        seen.update(headers)

    signals.before_task_publish.connect(note)
    yield seen
    signals.before_task_publish.disconnect(note)


async def later():
    await asyncio.sleep(0)


def numbers():
    yield 1


async def async_numbers():
    yield 1


@BASES
@pytest.mark.parametrize("function", [later, numbers, async_numbers, functools.partial(later)])
def test_a_function_that_returns_before_its_work_is_refused_where_it_is_declared(base, function):
    with pytest.raises(
        TypeError, match="an async def or generator returns before its work is done"
    ):
        type("declared", (base,), {"name": "tests.declared", "run": staticmethod(function)})


@pytest.mark.parametrize("function", [later, numbers, async_numbers])
def test_a_function_that_hides_one_fails_instead_of_being_done(function):
    def decorated():
        return function()

    hidden = shared_task(base=Task, name=f"tests.hidden_{function.__name__}")(decorated)
    hidden.push_request(id="a-task", called_directly=False)
    try:
        with pytest.raises(TypeError, match="returns before its work is done"):
            hidden()
    finally:
        hidden.pop_request()
        del current_app.tasks[hidden.name]


def test_a_durable_task_is_declared_by_its_class():
    with pytest.raises(TypeError, match="use base=DurableTask instead of durable=True"):
        type("declared", (Task,), {"name": "tests.declared", "durable": True})


@pytest.mark.parametrize(
    "option",
    [
        {"acks_late": False},
        {"compression": "gzip"},
        {"expires": 60},
        {"priority": 3},
        {"serializer": "pickle"},
    ],
    ids=str,
)
def test_an_option_that_a_durable_task_cannot_keep_is_refused(option):
    ((name, _),) = option.items()
    with pytest.raises(ValueError, match=rf"tests\.declared: .*{name}"):
        type("declared", (DurableTask,), {"name": "tests.declared", **option})
    if name != "acks_late":  # no option of a call
        with pytest.raises(ValueError, match=rf"tests\.durable: .*{name}"):
            probes.durable.apply_async(("one",), **option)
    assert not TaskRun.objects.exists()


def test_a_serializer_that_no_worker_accepts_is_refused():
    with pytest.raises(ValueError, match="workers accept JSON only"):
        probes.echo.apply_async(("one",), serializer="pickle")


def test_a_queue_on_the_decorator_holds_for_a_durable_task(monkeypatch):
    last = current_app.conf.task_queues[-1].name
    monkeypatch.setattr(type(probes.durable._get_current_object()), "queue", last, raising=False)

    probes.durable.delay("one")

    assert TaskRun.objects.get().queue == last


@pytest.mark.parametrize("call", ["map", "starmap", "chunks"])
def test_a_durable_task_is_not_called_without_its_row(call):
    arguments = ([["a"]], 1) if call == "chunks" else ([["a"]],)
    with pytest.raises(TypeError, match="use a group"):
        getattr(probes.durable, call)(*arguments)


@pytest.mark.parametrize("value", NOT_STORABLE.values(), ids=NOT_STORABLE)
def test_an_argument_that_the_database_cannot_hold_is_refused_before_anything_is_written(value):
    for arguments in ({"args": [value]}, {"kwargs": {"name": value}}):
        with transaction.atomic(), pytest.raises(ValueError, match=r"tests\.durable"):
            probes.durable.apply_async(**arguments)
    with pytest.raises(ValueError, match="links"):
        probes.durable.apply_async(("a",), link=probes.durable.si(value))
    assert not TaskRun.objects.exists()  # and the transaction goes on


def test_arguments_that_hold_themselves_are_refused():
    endless = []
    endless.append(endless)
    for task in (probes.echo, probes.durable):
        with pytest.raises((TypeError, ValueError), match="pass"):
            task.delay(endless)


@pytest.mark.parametrize("start", [math.nan, math.inf, 10**12, -(10**12)])
def test_an_impossible_countdown_is_refused(start):
    for task in (probes.echo, probes.durable):
        with pytest.raises(ValueError, match="the longest is 3650 days"):
            task.apply_async(("one",), countdown=start)


@pytest.mark.parametrize("start", ["5", True, b"5", timedelta(1)], ids=str)
def test_a_start_of_another_type_is_refused(start):
    for task in (probes.echo, probes.durable):
        with pytest.raises(TypeError, match="give a datetime as eta"):
            task.apply_async(("one",), eta=start)


def test_a_start_beyond_the_calendar_is_refused():
    with pytest.raises(ValueError, match="the longest delay is 3650 days"):
        probes.durable.apply_async(("one",), eta=datetime.max.replace(tzinfo=UTC))


@pytest.mark.parametrize(
    "eta", [datetime(2001, 1, 1, tzinfo=UTC), datetime.min.replace(tzinfo=UTC)]
)
def test_a_start_in_the_past_is_now(eta):
    probes.durable.apply_async(("one",), eta=eta)

    assert TaskRun.objects.get().next_attempt_at <= timezone.now()


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "UTC"])
def test_a_time_without_a_zone_is_in_the_zone_of_celery(zone, monkeypatch):
    here = current_app.conf.timezone
    monkeypatch.setattr(current_app.conf, "timezone", zone)
    current_app.__dict__.pop("timezone", None)
    try:
        start = datetime.now(current_app.timezone).replace(tzinfo=None) + timedelta(minutes=10)
        probes.durable.apply_async(("one",), eta=start)
        with published() as headers:
            probes.echo.apply_async(("one",), eta=start)
    finally:
        current_app.conf.timezone = here
        current_app.__dict__.pop("timezone", None)

    delay = TaskRun.objects.get().next_attempt_at - timezone.now()
    assert abs(delay - timedelta(minutes=10)) < timedelta(minutes=1)
    delay = datetime.fromisoformat(headers["eta"]) - timezone.now()
    assert abs(delay - timedelta(minutes=10)) < timedelta(minutes=1)


def limits_of(**options):
    """Return the limits of a task that is declared with these options."""

    def limited():
        """Do nothing."""

    task = shared_task(base=Task, name="tests.limited", **options)(limited)
    try:
        return task.soft_time_limit, task.time_limit, [error.msg for error in check_limits()]
    finally:
        del current_app.tasks["tests.limited"]


def test_limits_on_the_decorator_win_within_the_longest_of_the_table():
    assert limits_of(soft_time_limit=1, time_limit=2) == (1, 2, [])
    assert limits_of()[:2] == (probes.echo.soft_time_limit, probes.echo.time_limit)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"soft_time_limit": 8_000, "time_limit": 9_000}, "hard limit of 9000 s is above 1800 s"),
        ({"soft_time_limit": 500}, "soft limit of 500 s is not below its hard limit of 75 s"),
    ],
    ids=["above the longest", "soft alone"],
)
def test_limits_that_cannot_hold_are_reported_by_a_check(options, fault):
    (message,) = limits_of(**options)[2]

    assert message.startswith("tests.limited: ")
    assert fault in message
