import threading
from datetime import datetime, timedelta

import pytest
import time_machine
from celery.exceptions import SoftTimeLimitExceeded
from django.db import connection
from django.db.models.functions import Now
from django.utils import timezone

from apps.bookings import receivers, services, tasks
from apps.bookings.models import Booking, Slot, end_of_tomorrow
from apps.bookings.services import book, cancel
from apps.bookings.tasks import send_reminders
from config.schedule import SCHEDULE
from durable.api import Email

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def make(make_slot, ann):
    """Create bookings of slots that start after the given times, without emails."""

    def make(*starts):
        return Booking.objects.bulk_create(
            Booking(slot=make_slot(start), user=ann) for start in starts
        )

    return make


def minutes(*numbers):
    return [timedelta(minutes=number) for number in numbers]


def recipients():
    return set(Email.objects.filter(template="booking_reminder").values_list("to", flat=True))


def reminded_bookings():
    return set(Booking.objects.exclude(reminded_at=None))


@pytest.mark.parametrize("hour", [0, 9, 23])
def test_tomorrow_ends_at_midnight_in_the_time_zone_of_the_service(settings, hour):
    settings.TIME_ZONE = "Europe/Berlin"
    timezone.get_default_timezone.cache_clear()
    berlin = timezone.get_default_timezone()
    try:
        # The night of the 25th is one hour longer.
        with time_machine.travel(datetime(2026, 10, 24, hour, tzinfo=berlin), tick=False):
            assert end_of_tomorrow() == datetime(2026, 10, 26, tzinfo=berlin)
    finally:
        timezone.get_default_timezone.cache_clear()


def test_bookings_of_today_and_tomorrow_are_reminded_once(make):
    until = end_of_tomorrow() - timezone.now()
    soon, late, _ = make(HOUR, until - HOUR, until + HOUR)

    assert [send_reminders(), send_reminders()] == [2, 0]

    assert reminded_bookings() == {soon, late}
    assert set(Email.objects.values_list("template", "key")) == {
        ("booking_reminder", f"booking-{booking.pk}-reminder") for booking in (soon, late)
    }


def test_canceled_and_started_bookings_get_no_reminder(make, make_slot):
    canceled, started = make(HOUR, 2 * HOUR)
    cancel(canceled)
    type(started.slot).objects.filter(pk=started.slot_id).update(starts_at=Now() - HOUR)

    assert send_reminders() == 0
    assert recipients() == set()


def test_a_booking_after_one_run_is_reminded_by_the_next(make):
    make(HOUR)
    send_reminders()
    late = make(2 * HOUR)

    assert send_reminders() == 1
    assert set(late) <= reminded_bookings()


@pytest.mark.django_db(transaction=True)
def test_the_run_after_a_failed_one_sends_the_missing_reminders(make, monkeypatch):
    make(*minutes(60, 61, 62, 63, 64))
    monkeypatch.setattr(tasks, "REMINDER_BATCH", 2)
    send, calls = receivers.send_emails, []

    def fail_once(*arguments):
        calls.append(arguments)
        count = send(*arguments)
        if len(calls) == 2:
            raise ConnectionError
        return count

    monkeypatch.setattr(receivers, "send_emails", fail_once)

    with pytest.raises(ConnectionError):
        send_reminders()
    assert len(reminded_bookings()) == Email.objects.count() == 2

    assert send_reminders() == 3
    assert len(reminded_bookings()) == Email.objects.count() == 5


def test_reminders_are_queued_in_batches(make, monkeypatch):
    make(*minutes(60, 61, 62, 63, 64))
    monkeypatch.setattr(tasks, "REMINDER_BATCH", 2)
    sizes, remind = [], services.remind

    def count(limit):
        sizes.append(remind(limit))
        return sizes[-1]

    monkeypatch.setattr(services, "remind", count)

    assert send_reminders() == 5
    assert sizes == [2, 2, 1, 0]


@pytest.mark.django_db(transaction=True)
def test_a_run_that_reaches_the_soft_time_limit_publishes_another(make, monkeypatch):
    make(HOUR)
    published = []

    def reach_limit(_limit):
        raise SoftTimeLimitExceeded

    with monkeypatch.context() as patch:
        patch.setattr(services, "remind", reach_limit)
        patch.setattr(send_reminders, "publish_or_log", lambda: published.append("again"))
        assert send_reminders() == 0

    assert published == ["again"]
    assert send_reminders() == 1


@pytest.mark.django_db(transaction=True)
def test_simultaneous_runs_send_one_reminder_for_each_booking(make, monkeypatch):
    make(*minutes(*range(60, 80)))
    monkeypatch.setattr(tasks, "REMINDER_BATCH", 3)
    start, counts = threading.Barrier(3), []

    def run():
        start.wait(10)
        counts.append(send_reminders())
        connection.close()

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(counts) == 3
    assert sum(counts) == 20
    assert Email.objects.count() == 20


def test_an_invalid_address_does_not_stop_the_others(make, make_slot, bob, caplog):
    make(HOUR)
    book(make_slot(2 * HOUR), bob)
    type(bob).objects.filter(pk=bob.pk).update(email="bob")

    assert [send_reminders(), send_reminders()] == [2, 0]

    assert recipients() == {"ann@example.com"}
    assert "booking_reminder_skipped" in caplog.text


def test_the_reminders_do_not_read_whole_tables(slot, ann):
    later = [timezone.now() + DAY * 30 + HOUR * number for number in range(2_000)]
    slots = Slot.objects.bulk_create(
        Slot(calendar=slot.calendar, starts_at=start, ends_at=start + HOUR) for start in later
    )
    Booking.objects.bulk_create(Booking(slot=slot, user=ann, reminded_at=Now()) for slot in slots)
    with connection.cursor() as cursor:
        for table in ("bookings_booking", "bookings_slot"):
            cursor.execute(f"ANALYZE {table}")

    plan = Booking.objects.due(end_of_tomorrow()).order_by("slot__starts_at", "pk").explain()

    assert "bookings_not_reminded" in plan or "bookings_slot_by_start" in plan, plan
    assert "Seq Scan" not in plan, plan


def test_beat_runs_it_every_morning():
    (entry,) = [entry for entry in SCHEDULE.values() if entry["task"] == send_reminders.name]

    assert (entry["schedule"].hour, entry["schedule"].minute) == ({9}, {0})
