import re
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now

from apps.notifications.models import Notification
from apps.notifications.services import notify
from apps.users.models import User
from durable.testing.plans import plan_of

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}


@pytest.fixture
def ann():
    return User.objects.create_user("ann@example.com")


@pytest.fixture
def bob():
    return User.objects.create_user("bob@example.com")


@pytest.fixture
def page(client, ann):
    client.force_login(ann)
    return client


def is_read(notification):
    notification.refresh_from_db()
    return notification.read_at is not None


def test_an_empty_list_explains_what_appears_there(page):
    text = page.get("/notifications/").text

    assert "No notifications yet" in text
    assert "Mark all as read" not in text


def test_users_see_only_their_own(page, ann, bob):
    notify(ann, "booking", "For Ann", "<b>Room 1</b>")
    notify(bob, "booking", "For Bob")

    text = page.get("/notifications/").text

    assert "For Ann" in text
    assert "&lt;b&gt;Room 1" in text
    assert "For Bob" not in text


def test_a_page_shows_twenty_newest_first(page, ann):
    for number in range(21):
        notify(ann, "booking", f"Booking {number}.")

    first = page.get("/notifications/").text
    second = page.get("/notifications/?page=2").text

    assert first.index("Booking 20.") < first.index("Booking 1.")
    assert "Booking 0." not in first
    assert 'href="?page=2"' in first
    assert "Booking 0." in second
    assert "Booking 1." not in second
    assert page.get("/notifications/?page=much").status_code == 200


def test_opening_one_marks_it_as_read_and_redirects_to_its_link(page, ann):
    notification = notify(ann, "booking", "A new booking", url="/bookings/1/")

    response = page.post(f"/notifications/{notification.pk}/", {"open": "yes"})

    assert response.url == "/bookings/1/"
    assert is_read(notification)


@pytest.mark.parametrize(
    "url",
    ["https://example.com/", "//example.com/", "/\\example.com", "javascript:alert(1)", "x/y", ""],
)
def test_a_link_never_redirects_to_another_site(page, ann, url):
    notification = Notification.objects.create(user=ann, title="Look!", url=url)

    response = page.post(f"/notifications/{notification.pk}/", {"open": "yes"})

    assert response.url == "/notifications/"


def test_one_can_be_marked_as_read_without_opening_it(page, ann):
    notification = notify(ann, "booking", "A new booking", url="/bookings/1/")

    assert page.post(f"/notifications/{notification.pk}/").url == "/notifications/"

    assert is_read(notification)
    text = page.get("/notifications/").text
    assert "Mark as read" not in text
    assert "Open: A new booking" in text


def test_with_htmx_only_the_item_and_the_count_are_updated(page, ann):
    notification = notify(ann, "booking", "A new booking")

    response = page.post(f"/notifications/{notification.pk}/", headers=HTMX)

    assert response["HX-Trigger"] == '{"notification": {}}'
    assert response.text.startswith("<li")
    assert "Mark as read" not in response.text


def test_marking_again_keeps_the_first_time(page, ann):
    notification = notify(ann, "booking", "A new booking")
    Notification.objects.update(read_at=Now() - timedelta(days=1))
    notification.refresh_from_db()
    first = notification.read_at

    page.post(f"/notifications/{notification.pk}/")

    notification.refresh_from_db()
    assert notification.read_at == first


def test_notifications_of_other_users_cannot_be_opened_or_marked(page, bob):
    notification = notify(bob, "booking", "For Bob", url="/bookings/1/")

    assert page.post(f"/notifications/{notification.pk}/", {"open": "yes"}).status_code == 404
    page.post("/notifications/read/", {"newest": notification.pk})

    assert not is_read(notification)


def test_marking_all_leaves_newer_ones_than_the_page_showed(page, ann):
    shown = [notify(ann, "booking", f"Booking {number}") for number in range(3)]
    newest = re.search(r'name="newest" value="(\d+)"', page.get("/notifications/").text)[1]
    later = notify(ann, "booking", "Just now")

    text = page.post("/notifications/read/", {"newest": newest}, follow=True).text

    assert "3 marked as read." in text
    assert all(is_read(notification) for notification in shown)
    assert not is_read(later)


@pytest.mark.parametrize("newest", ["", "all", "-", "1e3"])
def test_marking_all_needs_the_newest_one_that_was_shown(page, ann, newest):
    notification = notify(ann, "booking", "A new booking")

    assert page.post("/notifications/read/", {"newest": newest}).status_code == 400
    assert not is_read(notification)


def test_get_requests_mark_nothing(page, ann):
    notification = notify(ann, "booking", "A new booking")

    assert page.get(f"/notifications/{notification.pk}/").status_code == 405
    assert page.get("/notifications/read/").status_code == 405


def test_the_list_needs_a_login(client):
    assert client.get("/notifications/").url == "/accounts/login/?next=/notifications/"


@pytest.mark.parametrize("url", ["/notifications/1/", "/notifications/read/"])
def test_marking_after_the_session_has_expired_leads_to_login_and_back(client, ann, url):
    ann.set_password("a long password")
    ann.save()

    wanted = client.post(url).url

    assert "Log in, then try again." in client.get(wanted).text
    entered = {"username": ann.email, "password": "a long password"}
    page = client.post(wanted, entered, follow=True)
    assert page.redirect_chain == [("/notifications/", 302)]
    assert page.status_code == 200


def test_unread_notifications_are_counted(page, ann, bob):
    for user in (ann, ann, bob):
        notify(user, "booking", "A new booking")
    notify(ann, "booking", "Read")
    Notification.objects.filter(title="Read").update(read_at=Now())

    text = page.get("/notifications/unread/?shown=0").text

    assert 'class="badge">2 ' in text
    assert '<input type="hidden" name="shown" value="2">' in text
    assert "hx-" not in text  # the element that polls stays


def test_an_unchanged_count_is_not_sent_again(page, ann):
    notify(ann, "booking", "A new booking")

    assert page.get("/notifications/unread/?shown=1").status_code == 204


@pytest.mark.parametrize(("count", "shown"), [(0, None), (99, "99"), (100, "99+"), (150, "99+")])
def test_counting_stops_at_99(page, ann, count, shown):
    Notification.objects.bulk_create(Notification(user=ann) for _ in range(count))

    badge = re.search(r'class="badge">(\S+) ', page.get("/notifications/unread/").text)

    assert (badge and badge[1]) == shown


def test_polling_stops_after_logout(client, django_assert_num_queries):
    with django_assert_num_queries(0):
        response = client.get("/notifications/unread/")

    assert (response.status_code, response.content) == (286, b"")


def test_counting_takes_one_query_by_its_index(page, ann, django_assert_num_queries):
    Notification.objects.bulk_create(Notification(user=ann, read_at=Now()) for _ in range(500))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE notifications_notification")

    with django_assert_num_queries(3) as queries:  # session, user, count
        page.get("/notifications/unread/")

    assert "LIMIT 100" in queries[-1]["sql"]
    assert "notifications_unread" in plan_of(queries[-1])
