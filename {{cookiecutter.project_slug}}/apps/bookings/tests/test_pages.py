import re
from datetime import timedelta
from html import unescape

import pytest
from django.contrib.auth.models import Permission
from django.core.exceptions import ValidationError
from django.utils import timezone

from apps.bookings import views
from apps.bookings.models import SLOT_STARTED, SLOT_TAKEN, Booking, Calendar, Slot
from apps.bookings.services import book, cancel
from durable.api import Email

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
ADMIN = "/admin/bookings/booking/"


@pytest.fixture
def sign_in(client):
    def sign_in(user):
        client.force_login(user)
        return client

    return sign_in


def headings(page):
    return re.findall("<h1>(.*?)</h1>", page)


def test_visitors_see_free_slots_by_day(client, make_slot, ann):
    days = [make_slot(timedelta(days=number)) for number in (1, 2)]
    taken = make_slot(3 * HOUR)
    book(taken, ann)

    page = client.get("/bookings/").text

    assert headings(page) == ["Bookings"]
    assert re.findall("<h2[^>]*>(.*?)</h2>", page) == [
        f"{slot.day:%A}, {slot.day.day} {slot.day:%b %Y}" for slot in days
    ]
    assert f'href="{days[0].get_absolute_url()}"' in page
    assert f'href="{taken.get_absolute_url()}"' not in page


def test_slots_are_paginated(client, make_slot, monkeypatch, django_assert_max_num_queries):
    monkeypatch.setattr(views, "PER_PAGE", 2)
    slots = [make_slot(timedelta(hours=number)) for number in (30, 31, 32)]

    with django_assert_max_num_queries(2):
        first = client.get("/bookings/").text
    last = client.get("/bookings/?page=2").text

    assert ">Later</a>" in first
    assert ">Earlier</a>" in last
    assert slots[2].get_absolute_url() not in first
    assert slots[2].get_absolute_url() in last


def test_without_free_slots_staff_see_how_to_add_some(client, admin_client):
    assert "No free slots" in client.get("/bookings/").text
    assert "/admin/bookings/calendar/" not in client.get("/bookings/").text
    assert "/admin/bookings/calendar/" in admin_client.get("/bookings/").text


def test_visitors_see_a_slot_and_have_to_log_in_to_book_it(client, slot):
    url = slot.get_absolute_url()

    page = client.get(url).text

    assert f'href="/accounts/login/?next={url}"' in page
    assert "<textarea" not in page
    assert client.post(url, {"note": ""}).url == f"/accounts/login/?next={url}"
    assert not Booking.objects.exists()


@pytest.mark.parametrize("page", ["mine/", "calendars/"])
def test_lists_of_bookings_need_a_login(client, page):
    assert client.get(f"/bookings/{page}").url == f"/accounts/login/?next=/bookings/{page}"


def test_a_slot_is_booked_and_canceled(sign_in, slot, ann):
    client = sign_in(ann)
    form = client.get(slot.get_absolute_url()).text
    for label in re.findall('<label for="([^"]+)">', form):
        assert f'id="{label}"' in form

    page = client.post(slot.get_absolute_url(), {"note": "<i>Window</i>"}, follow=True).text

    booking = Booking.objects.get()
    assert "Your booking is confirmed" in page
    assert booking.get_absolute_url() in client.get(slot.get_absolute_url()).text
    assert slot.when in page
    assert "&lt;i&gt;Window" in page
    assert booking.get_absolute_url() in client.get("/bookings/mine/").text

    page = client.post(f"{booking.get_absolute_url()}cancel/", follow=True).text
    assert "The booking is canceled" in page
    assert "Cancel booking" not in page
    assert (
        "already canceled" in client.post(f"{booking.get_absolute_url()}cancel/", follow=True).text
    )
    assert Email.objects.filter(template="booking_canceled").count() == 2


def test_an_invalid_form_books_nothing(sign_in, slot, ann):
    response = sign_in(ann).post(slot.get_absolute_url(), {"note": "x" * 201})

    assert response.status_code == 422
    assert "The slot was not booked" in response.text
    assert not Booking.objects.exists()


def test_a_booked_slot_leads_to_the_free_ones(sign_in, slot, make_slot, ann, bob):
    book(slot, ann)
    free = make_slot(30 * HOUR)
    client = sign_in(bob)

    assert "not available" in client.get(slot.get_absolute_url()).text
    page = client.post(slot.get_absolute_url(), {"note": ""}, follow=True).text

    assert headings(page) == ["Bookings"]
    assert "This slot is already booked. Choose another one." in page
    assert free.get_absolute_url() in page


def test_bookings_of_other_users_are_not_found(sign_in, slot, ann, bob):
    booking = book(slot, ann)
    client = sign_in(bob)

    assert client.get(booking.get_absolute_url()).status_code == 404
    assert client.post(f"{booking.get_absolute_url()}cancel/").status_code == 404
    for page in ("mine/", "calendars/"):
        assert str(slot.calendar) not in client.get(f"/bookings/{page}").text
    assert Booking.objects.get().canceled_at is None


def test_owners_see_and_cancel_bookings_of_their_calendars(sign_in, slot, ann, owner):
    booking = book(slot, ann)
    client = sign_in(owner)

    page = client.get("/bookings/calendars/").text
    assert ann.email in page
    assert booking.get_absolute_url() in page
    assert booking.get_absolute_url() not in client.get("/bookings/mine/").text
    assert ann.email in client.get(booking.get_absolute_url()).text
    client.post(f"{booking.get_absolute_url()}cancel/")
    assert Booking.objects.get().canceled_at is not None


def test_get_requests_cancel_nothing(sign_in, slot, ann):
    booking = book(slot, ann)

    assert sign_in(ann).get(f"{booking.get_absolute_url()}cancel/").status_code == 405


def test_canceling_after_the_session_has_expired_leads_to_login_and_back(client, slot, ann):
    ann.set_password("a long password")
    ann.save()
    booking = book(slot, ann)

    wanted = client.post(f"{booking.get_absolute_url()}cancel/").url

    entered = {"username": ann.email, "password": "a long password"}
    page = client.post(wanted, entered, follow=True)
    assert page.redirect_chain == [(booking.get_absolute_url(), 302)]
    assert page.status_code == 200
    assert Booking.objects.get().canceled_at is None


@pytest.mark.parametrize(
    ("page", "text"), [("mine/", "no bookings yet"), ("calendars/", "No bookings yet")]
)
def test_empty_lists_link_to_free_slots(sign_in, ann, page, text):
    shown = sign_in(ann).get(f"/bookings/{page}").text

    assert text in shown
    assert 'class="button" href="/bookings/"' in shown


def test_a_list_takes_as_many_queries_for_many_bookings(
    sign_in, make_slot, ann, django_assert_max_num_queries
):
    for number in range(5):
        book(make_slot(number * HOUR + HOUR), ann)
    client = sign_in(ann)

    with django_assert_max_num_queries(5):  # session, user, notifications, count, page
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


def test_staff_add_calendars_with_slots(admin_client, owner):
    data = {f"slots-0-{name}": value for name, value in slot_fields().items()}
    data |= {"name": "Room 1", "owner": owner.pk}
    data |= {"slots-TOTAL_FORMS": 1, "slots-INITIAL_FORMS": 0}

    admin_client.post("/admin/bookings/calendar/add/", data)

    assert Calendar.objects.get().slots.count() == 1


def test_a_calendar_links_to_its_upcoming_slots(admin_client, make_slot):
    slots = [make_slot(start, room) for start, room in ((-HOUR, "1"), (HOUR, "1"), (HOUR, "2"))]
    calendar = slots[0].calendar

    page = admin_client.get(f"/admin/bookings/calendar/{calendar.pk}/change/").text
    ((url, count),) = re.findall(r'<a href="(/admin/bookings/slot/\?[^"]+)">(\d+)</a>', page)
    found = re.findall(r"/admin/bookings/slot/(\d+)/", admin_client.get(unescape(url)).text)

    assert count == "1"
    assert {int(pk) for pk in found} == {slots[1].pk}
    assert "none" in admin_client.get("/admin/bookings/calendar/add/").text


def test_a_calendar_with_many_slots_can_be_saved(admin_client, make_slot):
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


def test_a_booked_slot_cannot_be_moved(admin_client, slot, ann):
    url = f"/admin/bookings/slot/{slot.pk}/change/"
    moved = {"calendar": slot.calendar_id} | slot_fields()
    booking = book(slot, ann)

    assert "cancel its booking before you move it" in admin_client.post(url, moved).text
    cancel(booking)
    assert admin_client.post(url, moved).status_code == 302
    assert Slot.objects.get().starts_at != slot.starts_at


def test_a_booked_slot_cannot_change_its_calendar(slot, ann, owner):
    book(slot, ann)
    slot.calendar = Calendar.objects.create(name="Room 2", owner=owner)

    with pytest.raises(ValidationError, match="cancel its booking before you move it"):
        slot.clean()


def test_the_admin_reports_slots_that_cannot_be_booked(admin_client, make_slot, slot, ann, bob):
    book(slot, ann)
    started = make_slot(-HOUR)

    for requested, error in ((slot, SLOT_TAKEN), (started, SLOT_STARTED)):
        response = admin_client.post(f"{ADMIN}add/", {"slot": requested.pk, "user": bob.pk})
        assert response.status_code == 200
        assert error in response.text
    assert "This field is required" in admin_client.post(f"{ADMIN}add/", {"user": bob.pk}).text


def test_staff_cancel_and_filter_bookings(admin_client, make_slot, slot, ann, bob):
    booking, other = book(slot, ann), book(make_slot(30 * HOUR), bob)

    data = {"action": "cancel", "_selected_action": [booking.pk]}
    assert "1 canceled." in admin_client.post(ADMIN, data, follow=True).text
    assert "0 canceled." in admin_client.post(ADMIN, data, follow=True).text

    page = admin_client.get(ADMIN, {"canceled_at__isempty": "1"}).text
    assert str(other.pk) in page
    assert str(booking.pk) not in page
    assert Email.objects.filter(template="booking_canceled").count() == 2


def test_a_booking_is_not_edited_and_only_deleted_after_it_is_canceled(admin_client, slot, ann):
    booking = book(slot, ann)
    url = f"{ADMIN}{booking.pk}/"

    assert 'name="_save"' not in admin_client.get(f"{url}change/").text
    assert admin_client.post(f"{url}change/", {"note": "Forged"}).status_code == 403
    assert admin_client.post(f"{url}delete/", {"post": "yes"}).status_code == 403
    cancel(booking)
    assert admin_client.post(f"{url}delete/", {"post": "yes"}).status_code == 302
    assert not Booking.objects.exists()


def test_view_only_users_cancel_nothing(sign_in, slot, ann, bob):
    booking = book(slot, ann)
    bob.is_staff = True
    bob.save()
    bob.user_permissions.set(Permission.objects.filter(codename="view_booking"))
    client = sign_in(bob)

    client.post(ADMIN, {"action": "cancel", "_selected_action": [booking.pk]})

    assert client.get(ADMIN).status_code == 200
    assert client.get(f"{ADMIN}add/").status_code == 403
    assert Booking.objects.get().canceled_at is None


def test_a_user_has_a_limit_of_bookings_per_hour(sign_in, make_slot, ann, monkeypatch):
    monkeypatch.setattr(views, "MAX_PER_HOUR", 2)
    slots = [make_slot(hours * HOUR) for hours in (1, 2, 3)]
    client = sign_in(ann)

    responses = [client.post(slot.get_absolute_url(), {"note": ""}) for slot in slots]

    assert [response.status_code for response in responses] == [302, 302, 429]
    assert "The limit is 2 bookings per hour" in responses[-1].text
    assert Booking.objects.count() == 2
