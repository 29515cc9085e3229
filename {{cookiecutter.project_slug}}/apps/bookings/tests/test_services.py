import threading
import time
import uuid
from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.messages import get_messages
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.utils import timezone

from apps.bookings import receivers, services, tasks
from apps.bookings.models import SLOT_STARTED, SLOT_TAKEN, Booking, Calendar, Slot
from apps.bookings.services import NotBookableError, book, book_by_name, cancel
from apps.notifications.models import Notification
from durable.api import Email, TaskRun
from durable.mail.rendering import render
from durable.testing.workers import wait_until

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
LOCAL = "%Y-%m-%dT%H:%M"


def names(slot, user):
    return slot.calendar.name, timezone.localtime(slot.starts_at).strftime(LOCAL), user.email


def by_page(slot, user):
    client = Client()
    client.force_login(user)
    return client.post(f"/bookings/slots/{slot.pk}/", {"note": "I bring cake"})


def by_admin(slot, user):
    admin = type(user).objects.get_or_create(email=f"for-{user}", is_staff=True, is_superuser=True)[
        0
    ]
    client = Client()
    client.force_login(admin)
    data = {"slot": slot.pk, "user": user.pk, "note": "I bring cake"}
    return client.post("/admin/bookings/booking/add/", data)


def by_command(slot, user):
    call_command("book", *names(slot, user), "--note", "I bring cake", stdout=StringIO())


def by_task(slot, user):
    tasks.book(*names(slot, user), "I bring cake")


def by_hand(slot, user):
    Booking.objects.create(slot=slot, user=user, note="I bring cake")


WAYS = [by_page, by_admin, by_command, by_task, by_hand]


def mails():
    return set(Email.objects.values_list("template", "to"))


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_booking_sends_the_same_mails(way, slot, ann, owner):
    way(slot, ann)

    booking = Booking.objects.get()
    assert (booking.slot, booking.user, booking.note) == (slot, ann, "I bring cake")
    assert mails() == {
        ("booking_confirmation", ann.email),
        ("booking_notice", owner.email),
    }
    notification = Notification.objects.get()
    assert (notification.user, notification.kind) == (owner, "booking")
    assert notification.url == f"/bookings/{booking.pk}/"
    assert notification.title == f"Booked: {slot}"
    assert "I bring cake" in notification.body


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("way", WAYS)
def test_a_booking_is_not_saved_if_its_mails_fail(way, slot, ann, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("the last step fails")

    monkeypatch.setattr(receivers, "notify", fail)

    with pytest.raises(RuntimeError):
        way(slot, ann)
    for model in (Booking, Email, Notification):
        assert not model.objects.exists()


def test_saving_a_booking_again_sends_nothing(slot, ann):
    booking = book(slot, ann)
    booking.note = "Changed"
    booking.save()
    receivers.email_customer_and_owner(booking, "confirmation", "notice")

    assert Email.objects.count() == 2
    assert Notification.objects.count() == 1


def simultaneously(*calls):
    """Call each in a thread with its own connection; return results and errors."""
    start, outcomes = threading.Barrier(len(calls)), []

    def run(call):
        start.wait(10)
        try:
            outcomes.append(call())
        except Exception as error:  # noqa: BLE001 - the test checks it
            outcomes.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


@pytest.fixture
def crowd(django_user_model):
    return [django_user_model.objects.create_user(f"{n}@example.com") for n in range(6)]


@pytest.mark.django_db(transaction=True)
def test_one_of_many_simultaneous_bookings_succeeds(slot, crowd):
    outcomes = simultaneously(*[lambda user=user: book(slot, user) for user in crowd])

    assert [type(outcome) for outcome in outcomes].count(Booking) == 1
    errors = [outcome for outcome in outcomes if not isinstance(outcome, Booking)]
    assert [(type(error), str(error)) for error in errors] == [(NotBookableError, SLOT_TAKEN)] * 5
    winner = Booking.objects.get().user
    assert set(Email.objects.values_list("to", flat=True)) == {winner.email, "owner@example.com"}
    assert Notification.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_database_allows_one_booking_of_a_slot(slot, crowd):
    outcomes = simultaneously(
        *[lambda user=user: Booking.objects.create(slot=slot, user=user) for user in crowd]
    )

    kinds = [type(outcome) for outcome in outcomes]
    assert (kinds.count(Booking), kinds.count(IntegrityError)) == (1, 5)
    assert Email.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_pages_and_admin_report_a_lost_race(slot, crowd):
    for user in crowd[3:]:
        type(user).objects.create_superuser(f"for-{user}")

    outcomes = simultaneously(
        *[lambda user=user: by_page(slot, user) for user in crowd[:3]],
        *[lambda user=user: by_admin(slot, user) for user in crowd[3:]],
    )

    assert Booking.objects.count() == 1
    assert {response.status_code for response in outcomes} <= {200, 302}
    reported = [
        response
        for response in outcomes
        if SLOT_TAKEN in response.text
        or any(SLOT_TAKEN in str(message) for message in get_messages(response.wsgi_request))
    ]
    assert len(reported) == 5


@pytest.mark.django_db(transaction=True)
def test_the_admin_reports_a_race_lost_after_validation(slot, ann, bob, monkeypatch):
    validate = Booking.validate_constraints

    def validate_and_lose(self, **options):
        validate(self, **options)
        Booking.objects.bulk_create([Booking(slot=slot, user=bob)])

    monkeypatch.setattr(Booking, "validate_constraints", validate_and_lose)

    def book_in_admin():
        return by_admin(slot, ann)

    # In another thread: its transaction is rolled back, with bob's booking.
    (response,) = simultaneously(book_in_admin)

    assert response.status_code == 302
    assert [str(message) for message in get_messages(response.wsgi_request)] == [SLOT_TAKEN]
    assert not Booking.objects.exists()


def test_booking_twice_returns_the_same_booking(slot, ann):
    assert book(slot, ann) == book(slot, ann)

    assert Booking.objects.count() == 1
    assert Email.objects.count() == 2


def test_a_slot_of_another_user_cannot_be_booked(slot, ann, bob):
    book(slot, ann)

    with pytest.raises(NotBookableError, match=SLOT_TAKEN):
        book(slot, bob)


def test_a_started_slot_cannot_be_booked(make_slot, ann):
    with pytest.raises(NotBookableError, match=SLOT_STARTED):
        book(make_slot(-HOUR), ann)


def test_other_integrity_errors_are_raised(slot, ann, monkeypatch):
    def fail(*_, **__):
        raise IntegrityError("something else")

    monkeypatch.setattr(receivers, "notify", fail)

    with pytest.raises(IntegrityError, match="something else"):
        book(slot, ann)


def test_canceling_frees_the_slot_and_sends_mails_once(slot, ann, bob, owner):
    booking = book(slot, ann)
    Email.objects.all().delete()

    assert [cancel(booking), cancel(booking)] == [True, False]

    assert sorted(Email.objects.values_list("template", "to")) == [
        ("booking_canceled", ann.email),
        ("booking_canceled", owner.email),
    ]
    assert Notification.objects.filter(title=f"Canceled: {slot}", user=owner).count() == 1
    assert slot in Slot.objects.free()
    assert book(slot, bob).user == bob


@pytest.mark.django_db(transaction=True)
def test_one_of_two_simultaneous_cancellations_succeeds(slot, ann, monkeypatch):
    booking = book(slot, ann)
    before = Email.objects.count()

    def report_slowly(canceled):
        time.sleep(0.2)  # meanwhile the other call waits for the row
        receivers.report_cancellation(canceled)

    monkeypatch.setattr(services, "report_cancellation", report_slowly)

    outcomes = simultaneously(lambda: cancel(booking), lambda: cancel(booking))

    assert sorted(outcomes) == [False, True]
    assert Email.objects.count() == before + 2


def test_a_started_booking_cannot_be_canceled(slot, ann):
    booking = book(slot, ann)
    Slot.objects.update(starts_at=timezone.now() - HOUR)

    assert not cancel(booking)


def test_a_booking_is_not_canceled_if_its_mails_fail(slot, ann, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("the last step fails")

    booking = book(slot, ann)
    monkeypatch.setattr(receivers, "notify", fail)

    with pytest.raises(RuntimeError):
        cancel(booking)
    assert Booking.objects.get().canceled_at is None


def test_free_slots_are_upcoming_and_not_booked(make_slot, ann):
    make_slot(-HOUR)
    book(make_slot(HOUR), ann)
    cancel(book(freed := make_slot(2 * HOUR), ann))
    never = make_slot(3 * HOUR)

    assert list(Slot.objects.free()) == [freed, never]


@pytest.mark.parametrize(
    ("calendar", "start", "email", "problem"),
    [
        ("Cellar", None, None, "'Cellar' has no slot that starts at"),
        (None, "2001-01-31T09:00", None, "has no slot that starts at 2001-01-31T09:00"),
        (None, "tomorrow", None, "'tomorrow' is not a date and time"),
        (None, "2027-02-31T09:00", None, "is not a date and time"),
        (None, None, "carl@example.com", "no active user has the address 'carl@example.com'"),
    ],
)
def test_errors_quote_the_invalid_name(slot, ann, calendar, start, email, problem):
    given = [
        invalid or valid
        for invalid, valid in zip((calendar, start, email), names(slot, ann), strict=True)
    ]

    with pytest.raises(NotBookableError, match=problem):
        book_by_name(*given)
    with pytest.raises(CommandError, match=problem):
        call_command("book", *given)
    with pytest.raises(NotBookableError, match=problem):
        tasks.book(*given)


def test_a_start_can_include_a_time_zone(slot, ann):
    calendar, _, email = names(slot, ann)

    assert book_by_name(calendar, slot.starts_at.isoformat(), email.upper()).slot == slot


def test_a_second_run_of_the_task_books_nothing_even_after_a_cancellation(slot, ann):
    task_id = str(uuid.uuid4())
    tasks.book.apply(names(slot, ann), task_id=task_id, throw=True)
    cancel(Booking.objects.get(pk=task_id))

    tasks.book.apply(names(slot, ann), task_id=task_id, throw=True)

    assert Booking.objects.count() == 1
    assert Email.objects.filter(template="booking_confirmation").count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_worker_runs_the_task_and_sends_the_mails(worker, slot, ann):
    sent = tasks.book.delay(*names(slot, ann))

    wait_until(lambda: Booking.objects.filter(pk=sent.id).exists())

    wait_until(lambda: TaskRun.objects.get(pk=sent.id).status == "done")
    wait_until(lambda: Email.objects.filter(status="sent").count() == 2)


@pytest.mark.parametrize("template", ["confirmation", "notice", "canceled", "reminder"])
def test_mails_contain_the_slot_and_a_link(slot, ann, settings, template):
    booking = book(slot, ann, "Tea & <b>cake</b>")
    receivers.email_reminders([booking])
    cancel(booking)

    content = render(Email.objects.filter(template=f"booking_{template}").first())

    assert "Studio & yard" in content.subject
    assert "Studio &amp; yard" in content.html
    assert "&amp;" not in content.text
    for part in (content.text, content.html):
        assert slot.when in part
        assert f"{settings.FRONTEND_URL}/bookings/{booking.pk}/" in part
        assert "<b>" not in content.html
    assert ("Tea & <b>cake</b>" in content.text) == (template == "notice")


@pytest.mark.parametrize("minutes", [0, -30])
def test_a_slot_must_end_after_it_starts(slot, minutes):
    with pytest.raises(IntegrityError), transaction.atomic():
        Slot.objects.update(ends_at=slot.starts_at + timedelta(minutes=minutes))


def test_a_calendar_has_one_slot_per_start(slot):
    with pytest.raises(IntegrityError):
        Calendar.objects.get().slots.create(starts_at=slot.starts_at, ends_at=slot.ends_at + HOUR)
