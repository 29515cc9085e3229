import pytest
from celery import current_app
from celery.schedules import schedule
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from apps.tasks.scheduler import DECLARED, DeclaredScheduler

pytestmark = pytest.mark.django_db(transaction=True)  # the scheduler closes connections


def start_beat():
    DeclaredScheduler(app=current_app._get_current_object(), lazy=False)


@pytest.fixture
def declare():
    declared = current_app.conf.beat_schedule
    yield lambda entries: current_app.conf.update(beat_schedule=entries)
    current_app.conf.update(beat_schedule=declared)


def names():
    return set(PeriodicTask.objects.filter(description=DECLARED).values_list("name", flat=True))


def test_the_database_gets_what_the_code_declares():
    start_beat()

    assert names() == set(current_app.conf.beat_schedule)


def test_a_removed_entry_leaves_the_database_and_an_operators_row_stays(declare):
    start_beat()
    every_minute = IntervalSchedule.objects.create(every=1, period="minutes")
    PeriodicTask.objects.create(name="mine", task="tasks.heartbeat", interval=every_minute)

    declare({"only": {"task": "tasks.heartbeat", "schedule": schedule(5)}})
    start_beat()

    assert names() == {"only"}
    assert PeriodicTask.objects.filter(name="mine").exists()


@pytest.mark.parametrize("name", ["heartbeat", "celery.backend_cleanup"])
def test_what_an_operator_disabled_stays_disabled(name):
    start_beat()
    PeriodicTask.objects.filter(name=name).update(enabled=False)

    start_beat()

    assert not PeriodicTask.objects.get(name=name).enabled


def test_every_declared_task_exists():
    current_app.loader.import_default_modules()
    declared = {entry["task"] for entry in current_app.conf.beat_schedule.values()}

    assert declared <= set(current_app.tasks)
