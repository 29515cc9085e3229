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

from apps.bookings import effects, services, tasks
from apps.bookings.models import BEGUN, TAKEN, Booking, Calendar, Slot
from apps.bookings.services import NotBookableError, book, book_by_name, cancel
from apps.notifications.models import Notification
from durable.mail.models import Email
from durable.mail.rendering import render
from durable.tasks.models import TaskRun
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
def test_every_way_of_booking_has_the_same_effects(way, slot, ann, owner):
    way(slot, ann)

    booking = Booking.objects.get()
    assert (booking.slot, booking.user, booking.note) == (slot, ann, "I bring cake")
    assert mails() == {
        ("booking_confirmation", ann.email),
        ("booking_notice", owner.email),
    }
    told = Notification.objects.get()
    assert (told.user, told.kind, told.url) == (owner, "booking", f"/bookings/{booking.pk}/")
    assert told.title == f"Booked: {slot}"
    assert "I bring cake" in told.body


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("way", WAYS)
def test_a_booking_whose_effects_fail_is_not_there(way, slot, ann, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("the last step fails")

    monkeypatch.setattr(effects, "notify", fail)

    with pytest.raises(RuntimeError):
        way(slot, ann)
    for model in (Booking, Email, Notification):
        assert not model.objects.exists()


def test_saving_a_booking_again_has_no_effects(slot, ann):
    booking = book(slot, ann)
    booking.note = "Changed"
    booking.save()
    effects.mail_customer_and_owner(booking, "confirmation", "notice")

    assert Email.objects.count() == 2
    assert Notification.objects.count() == 1


def at_once(*calls):
    """Call each in a thread with a connection of its own; return results and errors."""
    begin, outcomes = threading.Barrier(len(calls)), []

    def run(call):
        begin.wait(10)
        try:
            outcomes.append(call())
        except Exception as error:  # noqa: BLE001 - the test looks at it
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
def test_of_many_who_book_at_once_one_wins_and_the_others_are_told(slot, crowd):
    outcomes = at_once(*[lambda user=user: book(slot, user) for user in crowd])

    assert [type(each) for each in outcomes].count(Booking) == 1
    lost = [each for each in outcomes if not isinstance(each, Booking)]
    assert [(type(each), str(each)) for each in lost] == [(NotBookableError, TAKEN)] * 5
    winner = Booking.objects.get().user
    assert set(Email.objects.values_list("to", flat=True)) == {winner.email, "owner@example.com"}
    assert Notification.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_database_alone_lets_one_through(slot, crowd):
    outcomes = at_once(
        *[lambda user=user: Booking.objects.create(slot=slot, user=user) for user in crowd]
    )

    kinds = [type(each) for each in outcomes]
    assert (kinds.count(Booking), kinds.count(IntegrityError)) == (1, 5)
    assert Email.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_pages_and_admins_that_lose_a_race_show_why(slot, crowd):
    for user in crowd[3:]:
        type(user).objects.create_superuser(f"for-{user}")

    outcomes = at_once(
        *[lambda user=user: by_page(slot, user) for user in crowd[:3]],
        *[lambda user=user: by_admin(slot, user) for user in crowd[3:]],
    )

    assert Booking.objects.count() == 1
    assert {response.status_code for response in outcomes} <= {200, 302}
    told = [
        response
        for response in outcomes
        if TAKEN in response.text
        or any(TAKEN in str(message) for message in get_messages(response.wsgi_request))
    ]
    assert len(told) == 5


@pytest.mark.django_db(transaction=True)
def test_an_admin_who_was_slower_by_a_moment_is_told(slot, ann, bob, monkeypatch):
    validate = Booking.validate_constraints

    def validate_and_lose(self, **options):
        validate(self, **options)
        Booking.objects.bulk_create([Booking(slot=slot, user=bob)])

    monkeypatch.setattr(Booking, "validate_constraints", validate_and_lose)

    def book_in_admin():
        return by_admin(slot, ann)

    # In another thread, whose transaction is rolled back, so bob's booking goes with it.
    (response,) = at_once(book_in_admin)

    assert response.status_code == 302
    assert [str(message) for message in get_messages(response.wsgi_request)] == [TAKEN]
    assert not Booking.objects.exists()


def test_who_books_twice_has_booked_once(slot, ann):
    assert book(slot, ann) == book(slot, ann)

    assert Booking.objects.count() == 1
    assert Email.objects.count() == 2


def test_a_slot_of_somebody_else_is_taken(slot, ann, bob):
    book(slot, ann)

    with pytest.raises(NotBookableError, match=TAKEN):
        book(slot, bob)


def test_a_slot_that_has_begun_is_not_booked(make_slot, ann):
    with pytest.raises(NotBookableError, match=BEGUN):
        book(make_slot(-HOUR), ann)


def test_an_error_of_another_kind_is_not_taken_for_a_lost_race(slot, ann, monkeypatch):
    def fail(*_, **__):
        raise IntegrityError("something else")

    monkeypatch.setattr(effects, "notify", fail)

    with pytest.raises(IntegrityError, match="something else"):
        book(slot, ann)


def test_canceling_frees_the_slot_and_tells_both_once(slot, ann, bob, owner):
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
def test_of_two_who_cancel_at_once_one_does(slot, ann, monkeypatch):
    booking = book(slot, ann)
    before = Email.objects.count()

    def follow_slowly(canceled):
        time.sleep(0.5)  # meanwhile the other one waits for the row
        effects.follow_cancellation(canceled)

    monkeypatch.setattr(services, "follow_cancellation", follow_slowly)

    outcomes = at_once(lambda: cancel(booking), lambda: cancel(booking))

    assert sorted(outcomes) == [False, True]
    assert Email.objects.count() == before + 2


def test_what_has_begun_is_not_canceled(slot, ann):
    booking = book(slot, ann)
    Slot.objects.update(starts_at=timezone.now() - HOUR)

    assert not cancel(booking)


def test_a_cancellation_that_cannot_be_told_does_not_happen(slot, ann, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("the last step fails")

    booking = book(slot, ann)
    monkeypatch.setattr(effects, "notify", fail)

    with pytest.raises(RuntimeError):
        cancel(booking)
    assert Booking.objects.get().canceled_at is None


def test_free_is_what_is_to_come_and_not_booked(make_slot, ann):
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
def test_a_name_that_is_wrong_is_named(slot, ann, calendar, start, email, problem):
    given = [
        mine or theirs
        for mine, theirs in zip((calendar, start, email), names(slot, ann), strict=True)
    ]

    with pytest.raises(NotBookableError, match=problem):
        book_by_name(*given)
    with pytest.raises(CommandError, match=problem):
        call_command("book", *given)
    with pytest.raises(NotBookableError, match=problem):
        tasks.book(*given)


def test_a_start_may_name_its_time_zone(slot, ann):
    calendar, _, email = names(slot, ann)

    assert book_by_name(calendar, slot.starts_at.isoformat(), email.upper()).slot == slot


def test_a_task_that_runs_again_books_nothing_even_after_a_cancellation(slot, ann):
    task_id = str(uuid.uuid4())
    tasks.book.apply(names(slot, ann), task_id=task_id, throw=True)
    cancel(Booking.objects.get(pk=task_id))

    tasks.book.apply(names(slot, ann), task_id=task_id, throw=True)

    assert Booking.objects.count() == 1
    assert Email.objects.filter(template="booking_confirmation").count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_worker_books_what_a_machine_sends(worker, slot, ann):
    sent = tasks.book.delay(*names(slot, ann))

    wait_until(lambda: Booking.objects.filter(pk=sent.id).exists())

    wait_until(lambda: TaskRun.objects.get(pk=sent.id).status == "done")
    wait_until(lambda: Email.objects.filter(status="sent").count() == 2)


@pytest.mark.parametrize("template", ["confirmation", "notice", "canceled", "reminder"])
def test_mails_say_what_when_and_where(slot, ann, settings, template):
    booking = book(slot, ann, "Tea & <b>cake</b>")
    effects.mail_reminders([booking])
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
def test_a_slot_ends_after_it_starts(slot, minutes):
    with pytest.raises(IntegrityError), transaction.atomic():
        Slot.objects.update(ends_at=slot.starts_at + timedelta(minutes=minutes))


def test_a_calendar_has_one_slot_at_a_time(slot):
    with pytest.raises(IntegrityError):
        Calendar.objects.get().slots.create(starts_at=slot.starts_at, ends_at=slot.ends_at + HOUR)
