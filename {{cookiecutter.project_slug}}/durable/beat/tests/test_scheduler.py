import inspect
import os
import signal
import time
import uuid
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import time_machine
from celery import current_app
from celery.schedules import crontab, schedule
from django.db import connection
from django.db.models.functions import Now
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from django_celery_beat.schedulers import ModelEntry

from durable import heartbeat
from durable.beat.scheduler import DECLARED, DeclaredScheduler
from durable.beat.tests.helpers import Beat, expire_lease, make_due, simulate
from durable.tasks.models import BeatLeader
from durable.testing.workers import wait_until

pytestmark = pytest.mark.django_db(transaction=True)  # the scheduler closes connections


def elect_another():
    BeatLeader.objects.update(
        token=uuid.uuid4(), holder="another", lease_until=Now() + timedelta(hours=1)
    )


def names():
    return set(PeriodicTask.objects.filter(description=DECLARED).values_list("name", flat=True))


def test_the_schedule_in_code_is_copied_to_the_database():
    Beat().run_due()

    assert names() == set(current_app.conf.beat_schedule)


def test_a_removed_entry_is_deleted_and_an_operators_row_stays(declare):
    Beat().run_due()
    every_minute = IntervalSchedule.objects.create(every=1, period="minutes")
    PeriodicTask.objects.create(name="mine", task="tasks.heartbeat", interval=every_minute)

    declare({"only": {"task": "tasks.heartbeat", "schedule": schedule(5)}})
    expire_lease()
    Beat().run_due()

    assert names() == {"only"}
    assert PeriodicTask.objects.filter(name="mine").exists()


@pytest.mark.parametrize("name", ["heartbeat", "celery.backend_cleanup"])
def test_an_entry_that_an_operator_disabled_stays_disabled(name):
    Beat().run_due()
    PeriodicTask.objects.filter(name=name).update(enabled=False)

    expire_lease()
    Beat().run_due()

    assert not PeriodicTask.objects.get(name=name).enabled


def test_every_declared_task_exists():
    current_app.loader.import_default_modules()
    declared = {entry["task"] for entry in current_app.conf.beat_schedule.values()}

    assert declared <= set(current_app.tasks)


def test_no_declared_entry_has_an_option_that_is_dropped_or_rejected():
    current_app.loader.import_default_modules()
    known = set(inspect.signature(ModelEntry._unpack_options).parameters) - {"kwargs"}
    for name, entry in current_app.conf.beat_schedule.items():
        options = set(entry.get("options", {}))
        assert options <= known, name
        assert not (current_app.tasks[entry["task"]].durable and "expire_seconds" in options), name


def test_one_of_two_beats_publishes(hourly, published):
    first, second = Beat(), Beat()
    first.run_due()
    second.run_due()
    make_due()

    first.run_due()
    second.run_due()

    assert published == ["tests.hourly"]
    assert (first.candidate.leads, second.candidate.leads) == (True, False)


def test_a_follower_leaves_the_schedule_alone(declare):
    Beat().run_due()
    before = names()

    declare({})
    Beat().run_due()

    assert names() == before


def test_a_new_leader_continues_where_the_last_one_stopped(hourly, published):
    first, second = Beat(), Beat()
    first.run_due()
    make_due()
    first.run_due()
    expire_lease()
    second.run_due()
    assert published == ["tests.hourly"]

    make_due()
    second.run_due()

    assert published == ["tests.hourly"] * 2


def test_a_leader_that_hung_and_leads_again_repeats_nothing(hourly, published):
    first, second = Beat(), Beat()
    first.run_due()
    make_due()
    expire_lease()
    second.run_due()
    second.close()

    first.run_due()

    assert first.candidate.leads
    assert published == ["tests.hourly"]


def test_a_leader_that_lost_its_lease_stops_publishing(hourly, published):
    beat = Beat()
    beat.run_due()
    make_due()
    elect_another()

    beat.run_due()

    assert not beat.candidate.leads
    assert published == []


@pytest.mark.parametrize(
    "meanwhile",
    [elect_another, lambda: PeriodicTask.objects.update(enabled=False)],
    ids=["another leads", "an operator has disabled it"],
)
def test_a_change_at_the_last_moment_is_respected(hourly, published, monkeypatch, meanwhile):
    beat = Beat()
    beat.run_due()
    make_due()
    monkeypatch.setattr(beat, "is_due", lambda entry: (meanwhile(), entry.is_due())[1])

    beat.run_due()

    assert published == []


def test_an_entry_due_during_a_broker_outage_is_published_once_after_it(
    hourly, published, redis_server
):
    beat = Beat()
    beat.run_due()
    make_due()
    redis_server.stop()
    assert [beat.run_due(), beat.run_due()] == [beat.max_interval] * 2

    redis_server.restart()
    wait_until(lambda: beat.run_due() and published)
    beat.run_due()

    assert published == ["tests.hourly"]


def test_without_its_database_beat_waits(hourly, published, monkeypatch):
    beat = Beat()
    beat.run_due()
    make_due()
    with monkeypatch.context() as without:
        without.setitem(connection.settings_dict, "NAME", "/missing/database")
        connection.close()
        assert [beat.run_due(), beat.run_due()] == [beat.max_interval] * 2
        connection.close()
    assert published == []

    beat.run_due()

    assert published == ["tests.hourly"]


def test_a_leader_that_hangs_while_it_publishes_does_not_block_the_next(
    hourly, settings, while_publishing
):
    beat = Beat()
    beat.run_due()
    make_due()
    settings.BEAT_LEASE = timedelta(seconds=0.1)
    while_publishing(lambda: time.sleep(0.3))

    beat.run_due()

    # PostgreSQL has aborted the transaction; with SQLite all Beats are on one machine.
    saved = {"postgresql": 0, "sqlite": 1}[connection.vendor]
    assert PeriodicTask.objects.get(name="hourly").total_run_count == saved


def test_a_stop_signal_waits_until_the_run_is_saved(hourly, published, while_publishing):
    beat = Beat()
    beat.run_due()
    make_due()
    saved = []
    stop = signal.signal(signal.SIGTERM, lambda *_: saved.append(not connection.in_atomic_block))
    while_publishing(lambda: os.kill(os.getpid(), signal.SIGTERM))

    beat.run_due()

    signal.signal(signal.SIGTERM, stop)
    assert saved == [True]


def test_a_new_leader_does_not_delay_an_entry_that_never_ran(hourly, published):
    Beat().run_due()
    PeriodicTask.objects.update(date_changed=timezone.now() - timedelta(days=1))
    expire_lease()

    Beat().run_due()

    assert "tests.hourly" in published


def test_an_entry_due_hours_ago_is_published_at_once_after_an_outage(declare, published):
    declare({"daily": {"task": "tests.daily", "schedule": crontab(hour="9", minute="0")}})
    with time_machine.travel("2025-06-01T08:00Z", tick=False):
        Beat().run_due()
    expire_lease()

    with time_machine.travel("2025-06-01T15:00Z", tick=False):
        Beat().run_due()

    assert "tests.daily" in published


def test_the_interval_is_shorter_than_the_lease(settings):
    settings.BEAT_LEASE = timedelta(seconds=15)
    app = current_app._get_current_object()
    beat = DeclaredScheduler(app=app, lazy=True, max_interval=300)

    assert beat.max_interval == 5


def test_an_entry_that_runs_several_times_an_hour_never_pauses_when_clocks_go_back(
    declare, monkeypatch
):
    berlin = ZoneInfo("Europe/Berlin")
    monkeypatch.setattr(current_app._get_current_object(), "timezone", berlin)
    declare({"often": {"task": "tests.often", "schedule": crontab(minute="*/20")}})

    times = simulate(datetime(2025, 10, 26, 1, 50, tzinfo=berlin), timedelta(hours=1, minutes=15))

    assert times["tests.often"] == [
        f"26 {clock}" for clock in ("02:00", "02:20", "02:40", "02:00", "02:20", "02:40", "03:00")
    ]


@pytest.mark.parametrize(
    ("start", "days"),
    [
        ("2025-03-29", ["29 02:30", "30 03:30", "31 02:30"]),
        ("2025-10-25", ["25 02:30", "26 02:30", "27 02:30"]),
    ],
)
def test_a_daily_entry_is_published_once_a_day_when_the_clocks_change(
    declare, monkeypatch, settings, start, days
):
    settings.TIME_ZONE = "Europe/Berlin"
    berlin = ZoneInfo(settings.TIME_ZONE)
    monkeypatch.setattr(current_app._get_current_object(), "timezone", berlin)
    declare(
        {
            "night": {"task": "tests.night", "schedule": crontab(hour="2", minute="30")},
            "morning": {"task": "tests.morning", "schedule": crontab(hour="9", minute="0")},
        }
    )

    times = simulate(datetime.fromisoformat(start).replace(tzinfo=berlin), timedelta(days=3))

    assert times["tests.night"] == days
    assert times["tests.morning"] == [f"{day[:2]} 09:00" for day in days]


def runs_within_an_hour(beat, seconds=3600.0):
    """Let an hour pass, and return whether the entry has run by then."""
    count = PeriodicTask.objects.get(name="hourly").total_run_count
    with time_machine.travel(timedelta(seconds=seconds + 1), tick=False):
        beat.run_due()
    return PeriodicTask.objects.get(name="hourly").total_run_count > count


@pytest.mark.parametrize("field", ["last_run_at", "date_changed"])
def test_a_last_run_in_the_future_counts_as_now(hourly, caplog, field):
    Beat().run_due()
    tomorrow = timezone.now() + timedelta(days=1)
    PeriodicTask.objects.filter(name="hourly").update(**{"last_run_at": None, field: tomorrow})
    expire_lease()
    beat = Beat()
    beat.run_due()

    assert PeriodicTask.objects.get(name="hourly").last_run_at <= timezone.now()
    assert "periodic_task_ran_in_the_future" in caplog.text
    assert runs_within_an_hour(beat)


def test_a_clock_that_is_set_back_delays_no_entry(hourly, caplog):
    with time_machine.travel(timedelta(days=1), tick=False):
        beat = Beat()
        beat.run_due()
        make_due()
        beat.run_due()

    beat.run_due()

    assert "clock_set_back" in caplog.text
    assert runs_within_an_hour(beat)


@pytest.fixture
def with_heartbeat(declare):
    declare({"heartbeat": {"task": "tasks.heartbeat", "schedule": 15.0}})


def be_silent(beat, seconds=61):
    beat.last_heartbeat -= seconds


def test_a_leader_that_sends_no_heartbeat_is_not_well_until_it_sends_one(with_heartbeat):
    beat = Beat()
    beat.run_due()
    assert beat.state() == heartbeat.RUNNING

    be_silent(beat)
    assert beat.state().startswith("has not sent the heartbeat task for 6")

    make_due("heartbeat")
    beat.run_due()
    assert beat.state() == heartbeat.RUNNING


@pytest.mark.parametrize(
    ("change", "well"),
    [({"enabled": False}, True), ({"queue": "emials"}, False), ({"headers": "[]"}, False)],
)
def test_a_heartbeat_that_an_operator_disabled_is_not_missed_but_a_broken_one_is(
    with_heartbeat, change, well
):
    beat = Beat()
    beat.run_due()
    PeriodicTask.objects.update(**change)
    make_due("heartbeat")
    beat.run_due()
    be_silent(beat)

    assert (beat.state() == heartbeat.RUNNING) is well


def test_a_follower_is_well(with_heartbeat):
    leader, follower = Beat(), Beat()
    leader.run_due()
    follower.tick()
    be_silent(follower)

    assert follower.state() == heartbeat.RUNNING


def test_a_leader_without_its_broker_waits_for_it(with_heartbeat, redis_server):
    beat = Beat()
    beat.run_due()
    make_due("heartbeat")
    redis_server.stop()

    beat.run_due()

    assert beat.state() == heartbeat.WAITING


def test_a_tick_that_fails_does_not_end_beat(hourly, published, monkeypatch, caplog):
    beat = Beat()
    beat.run_due()
    make_due()
    with monkeypatch.context() as broken:
        broken.setattr(beat, "reserve", lambda _entry: 1 / 0)
        assert beat.run_due() == beat.max_interval
    assert beat.state() == "ZeroDivisionError: division by zero"

    beat.run_due()

    assert beat.state() == heartbeat.RUNNING
    assert published == ["tests.hourly"]
