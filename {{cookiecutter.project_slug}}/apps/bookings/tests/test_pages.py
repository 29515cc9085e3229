import re
from datetime import timedelta
from html import unescape

import pytest
from django.contrib.auth.models import Permission
from django.core.exceptions import ValidationError
from django.utils import timezone

from apps.bookings import views
from apps.bookings.models import Booking, Calendar, Slot
from apps.bookings.services import book, cancel
from durable.mail.models import Email

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
ADMIN = "/admin/bookings/booking/"


@pytest.fixture
def sign_in(client):
    def sign_in(user):
        client.force_login(user)
        return client

    return sign_in


def title(page):
    return re.findall("<h1>(.*?)</h1>", page)


def test_everybody_sees_what_is_free_by_day(client, make_slot, ann):
    days = [make_slot(timedelta(days=number)) for number in (1, 2)]
    taken = make_slot(3 * HOUR)
    book(taken, ann)

    page = client.get("/bookings/").text

    assert title(page) == ["Bookings"]
    assert re.findall("<h2[^>]*>(.*?)</h2>", page) == [
        f"{slot.day:%A} {slot.day.day} {slot.day:%B %Y}" for slot in days
    ]
    assert f'href="{days[0].get_absolute_url()}"' in page
    assert f'href="{taken.get_absolute_url()}"' not in page


def test_many_slots_are_paged(client, make_slot, monkeypatch, django_assert_max_num_queries):
    monkeypatch.setattr(views, "PER_PAGE", 2)
    slots = [make_slot(timedelta(hours=number)) for number in (30, 31, 32)]

    with django_assert_max_num_queries(2):
        first = client.get("/bookings/").text
    last = client.get("/bookings/?page=2").text

    assert ">Later</a>" in first
    assert ">Earlier</a>" in last
    assert slots[2].get_absolute_url() not in first
    assert slots[2].get_absolute_url() in last


def test_where_nothing_is_free_the_staff_are_shown_what_to_do(client, admin_client):
    assert "Nothing is free" in client.get("/bookings/").text
    assert "/admin/bookings/calendar/" not in client.get("/bookings/").text
    assert "/admin/bookings/calendar/" in admin_client.get("/bookings/").text


def test_who_has_not_signed_in_sees_a_slot_and_is_asked_to(client, slot):
    url = slot.get_absolute_url()

    page = client.get(url).text

    assert f'href="/accounts/login/?next={url}"' in page
    assert "<textarea" not in page
    assert client.post(url, {"note": ""}).url == f"/accounts/login/?next={url}"
    assert not Booking.objects.exists()


@pytest.mark.parametrize("page", ["mine/", "calendars/"])
def test_bookings_are_shown_to_who_has_signed_in(client, page):
    assert client.get(f"/bookings/{page}").url == f"/accounts/login/?next=/bookings/{page}"


def test_a_slot_is_booked_shown_and_canceled(sign_in, slot, ann):
    client = sign_in(ann)
    form = client.get(slot.get_absolute_url()).text
    for label in re.findall('<label for="([^"]+)">', form):
        assert f'id="{label}"' in form

    page = client.post(slot.get_absolute_url(), {"note": "<i>Window</i>"}, follow=True).text

    booking = Booking.objects.get()
    assert "You have booked it" in page
    assert booking.get_absolute_url() in client.get(slot.get_absolute_url()).text
    assert slot.when in page
    assert "&lt;i&gt;Window" in page
    assert booking.get_absolute_url() in client.get("/bookings/mine/").text

    page = client.post(f"{booking.get_absolute_url()}cancel/", follow=True).text
    assert "The booking is canceled" in page
    assert "Cancel the booking" not in page
    assert "too late" in client.post(f"{booking.get_absolute_url()}cancel/", follow=True).text
    assert Email.objects.filter(template="booking_canceled").count() == 2


def test_mistakes_are_named_and_nothing_is_booked(sign_in, slot, ann):
    answer = sign_in(ann).post(slot.get_absolute_url(), {"note": "x" * 201})

    assert answer.status_code == 422
    assert "The slot was not booked" in answer.text
    assert not Booking.objects.exists()


def test_who_comes_late_is_shown_what_else_is_free(sign_in, slot, make_slot, ann, bob):
    book(slot, ann)
    free = make_slot(30 * HOUR)
    client = sign_in(bob)

    assert "cannot be booked" in client.get(slot.get_absolute_url()).text
    page = client.post(slot.get_absolute_url(), {"note": ""}, follow=True).text

    assert title(page) == ["Bookings"]
    assert "This slot is taken. Choose another one" in page
    assert free.get_absolute_url() in page


def test_the_booking_of_somebody_else_is_not_there(sign_in, slot, ann, bob):
    booking = book(slot, ann)
    client = sign_in(bob)

    assert client.get(booking.get_absolute_url()).status_code == 404
    assert client.post(f"{booking.get_absolute_url()}cancel/").status_code == 404
    for page in ("mine/", "calendars/"):
        assert str(slot.calendar) not in client.get(f"/bookings/{page}").text
    assert Booking.objects.get().canceled_at is None


def test_an_owner_sees_and_cancels_what_others_have_booked(sign_in, slot, ann, owner):
    booking = book(slot, ann)
    client = sign_in(owner)

    page = client.get("/bookings/calendars/").text
    assert ann.email in page
    assert booking.get_absolute_url() in page
    assert booking.get_absolute_url() not in client.get("/bookings/mine/").text
    assert ann.email in client.get(booking.get_absolute_url()).text
    client.post(f"{booking.get_absolute_url()}cancel/")
    assert Booking.objects.get().canceled_at is not None


def test_nothing_is_canceled_by_following_a_link(sign_in, slot, ann):
    booking = book(slot, ann)

    assert sign_in(ann).get(f"{booking.get_absolute_url()}cancel/").status_code == 405


def test_who_cancels_after_the_session_has_ended_comes_back_to_the_booking(client, slot, ann):
    ann.set_password("a long password")
    ann.save()
    booking = book(slot, ann)

    wanted = client.post(f"{booking.get_absolute_url()}cancel/").url

    entered = {"username": ann.email, "password": "a long password"}
    page = client.post(wanted, entered, follow=True)
    assert page.redirect_chain == [(booking.get_absolute_url(), 302)]
    assert page.status_code == 200
    assert Booking.objects.get().canceled_at is None


@pytest.mark.parametrize(("page", "what"), [("mine/", "nothing yet"), ("calendars/", "Nobody")])
def test_empty_lists_say_what_to_do_next(sign_in, ann, page, what):
    text = sign_in(ann).get(f"/bookings/{page}").text

    assert what in text
    assert 'class="button" href="/bookings/"' in text


def test_a_list_of_bookings_asks_the_database_as_often_for_many(
    sign_in, make_slot, ann, django_assert_max_num_queries
):
    for number in range(5):
        book(make_slot(number * HOUR + HOUR), ann)
    client = sign_in(ann)

    with django_assert_max_num_queries(5):  # session, user, bell, count, page
        page = client.get("/bookings/mine/").text

    assert page.count('<th scope="row">') == 5


def slot_fields():
    start = timezone.localtime(timezone.now() + timedelta(days=3)).replace(hour=12)
    return {
        "starts_at_0": f"{start:%Y-%m-%d}",
        "starts_at_1": f"{start:%H:%M}",
        "ends_at_0": f"{start:%Y-%m-%d}",
        "ends_at_1": "23:59",
    }


def test_the_staff_make_calendars_with_slots(admin_client, owner):
    data = {f"slots-0-{name}": value for name, value in slot_fields().items()}
    data |= {"name": "Room 1", "owner": owner.pk}
    data |= {"slots-TOTAL_FORMS": 1, "slots-INITIAL_FORMS": 0}

    admin_client.post("/admin/bookings/calendar/add/", data)

    assert Calendar.objects.get().slots.count() == 1


def test_a_calendar_leads_to_its_slots_to_come(admin_client, make_slot):
    slots = [make_slot(start, room) for start, room in ((-HOUR, "1"), (HOUR, "1"), (HOUR, "2"))]
    calendar = slots[0].calendar

    page = admin_client.get(f"/admin/bookings/calendar/{calendar.pk}/change/").text
    ((address, count),) = re.findall(r'<a href="(/admin/bookings/slot/\?[^"]+)">(\d+)</a>', page)
    found = re.findall(r"/admin/bookings/slot/(\d+)/", admin_client.get(unescape(address)).text)

    assert count == "1"
    assert {int(pk) for pk in found} == {slots[1].pk}
    assert "none" in admin_client.get("/admin/bookings/calendar/add/").text


def test_a_calendar_with_many_slots_is_saved(admin_client, make_slot):
    slot = make_slot()
    starts = [slot.starts_at + number * HOUR for number in range(1, 171)]
    Slot.objects.bulk_create(
        Slot(calendar=slot.calendar, starts_at=start, ends_at=start + HOUR) for start in starts
    )
    url = f"/admin/bookings/calendar/{slot.calendar_id}/change/"
    page = admin_client.get(url).text
    fields = re.findall(r'<input type="(?:hidden|text)" name="([^"]+)"(?: value="([^"]*)")?', page)

    sent = dict(fields) | {"name": "Room 1", "owner": slot.calendar.owner_id}
    assert admin_client.post(url, sent).status_code == 302

    assert Calendar.objects.get().name == "Room 1"
    assert Slot.objects.count() == 171


def test_a_slot_that_is_booked_is_not_moved(admin_client, slot, ann):
    url = f"/admin/bookings/slot/{slot.pk}/change/"
    moved = {"calendar": slot.calendar_id} | slot_fields()
    booking = book(slot, ann)

    assert "cancel its booking before you move it" in admin_client.post(url, moved).text
    cancel(booking)
    assert admin_client.post(url, moved).status_code == 302
    assert Slot.objects.get().starts_at != slot.starts_at


def test_a_slot_that_is_booked_stays_in_its_calendar(slot, ann, owner):
    book(slot, ann)
    slot.calendar = Calendar.objects.create(name="Room 2", owner=owner)

    with pytest.raises(ValidationError, match="cancel its booking before you move it"):
        slot.clean()


def test_the_staff_are_told_what_cannot_be_booked(admin_client, make_slot, slot, ann, bob):
    book(slot, ann)
    begun = make_slot(-HOUR)

    for wanted, why in ((slot, "This slot is taken."), (begun, "has begun already")):
        answer = admin_client.post(f"{ADMIN}add/", {"slot": wanted.pk, "user": bob.pk})
        assert answer.status_code == 200
        assert why in answer.text
    assert "This field is required" in admin_client.post(f"{ADMIN}add/", {"user": bob.pk}).text


def test_the_staff_cancel_and_filter_bookings(admin_client, make_slot, slot, ann, bob):
    booking, kept = book(slot, ann), book(make_slot(30 * HOUR), bob)

    data = {"action": "cancel", "_selected_action": [booking.pk]}
    assert "1 canceled." in admin_client.post(ADMIN, data, follow=True).text
    assert "0 canceled." in admin_client.post(ADMIN, data, follow=True).text

    page = admin_client.get(ADMIN, {"canceled_at__isempty": "1"}).text
    assert str(kept.pk) in page
    assert str(booking.pk) not in page
    assert Email.objects.filter(template="booking_canceled").count() == 2


def test_a_booking_is_not_edited_nor_deleted_before_it_is_over(admin_client, slot, ann):
    booking = book(slot, ann)
    url = f"{ADMIN}{booking.pk}/"

    assert 'name="_save"' not in admin_client.get(f"{url}change/").text
    assert admin_client.post(f"{url}change/", {"note": "Forged"}).status_code == 403
    assert admin_client.post(f"{url}delete/", {"post": "yes"}).status_code == 403
    cancel(booking)
    assert admin_client.post(f"{url}delete/", {"post": "yes"}).status_code == 302
    assert not Booking.objects.exists()


def test_who_may_only_look_cancels_nothing(sign_in, slot, ann, bob):
    booking = book(slot, ann)
    bob.is_staff = True
    bob.save()
    bob.user_permissions.set(Permission.objects.filter(codename="view_booking"))
    client = sign_in(bob)

    client.post(ADMIN, {"action": "cancel", "_selected_action": [booking.pk]})

    assert client.get(ADMIN).status_code == 200
    assert client.get(f"{ADMIN}add/").status_code == 403
    assert Booking.objects.get().canceled_at is None
