import re

import pytest
from django.apps import apps
from django.urls import reverse
from django.utils.html import escape

from apps.notifications.services import notify
from apps.users.models import User
from durable.mail.api import send_email

pytestmark = pytest.mark.django_db

POLICY = {
    "default-src 'self'",
    "form-action 'self'",
    "frame-ancestors 'none'",
    "base-uri 'none'",
    "object-src 'none'",
}
INLINE = re.compile(
    r"""<script(?![^>]*\ssrc=)(?![^>]*application/json)|<style|<[^>]*\s(?:style|on\w+|hx-on[\w:-]*)=|javascript:"""
)


@pytest.fixture
def ann():
    return User.objects.create_user("ann@example.com", "a long password")


@pytest.fixture
def ann_client(client, ann):
    client.force_login(ann)
    return client


def policy(response):
    return set(response["Content-Security-Policy"].split("; "))


@pytest.mark.parametrize("url", ["/", "/accounts/login/", "/notifications/", "/nowhere/"])
def test_pages_only_load_what_the_service_itself_serves(ann_client, url):
    response = ann_client.get(url)

    assert policy(response) == POLICY
    assert not INLINE.search(response.text)


@pytest.mark.parametrize(
    "url", ["/admin/", "/admin/users/user/", "/admin/django_celery_beat/periodictask/add/"]
)
def test_the_admin_has_the_same_policy(admin_client, url):
    response = admin_client.get(url)

    assert response.status_code == 200
    assert policy(response) == POLICY
    assert not INLINE.search(response.text)


@pytest.mark.parametrize("url", ["/", "/notifications/", "/notifications/unread/"])
def test_browsers_do_not_store_pages_of_logged_in_users(ann_client, url):
    cache_control = ann_client.get(url)["Cache-Control"]

    assert "no-store" in cache_control
    assert "private" in cache_control


def test_public_pages_may_be_cached(client, ann):
    assert "Cache-Control" not in client.get("/")

    client.force_login(ann)

    assert "Cache-Control" not in client.get("/nowhere/")  # it does not read the session


def test_pages_that_link_no_icon_get_the_icon_of_the_service(client):
    assert client.get("/favicon.ico").url.endswith("pages/icon.svg")


def test_the_preview_of_a_mail_has_its_own_policy(admin_client):
    email = send_email("test_email", "ann@example.com", {"queued_by": "Bob"})

    response = admin_client.get(reverse("admin:mail_email_preview", args=[email.pk]))

    assert "<style>" in response.text
    assert {"sandbox", "default-src 'none'", "style-src 'unsafe-inline'"} <= policy(response)


def test_health_checks_get_no_policy(client):
    assert "Content-Security-Policy" not in client.get("/health/live")


def test_every_app_with_pages_is_in_the_navigation_and_on_the_home_page(client):
    page = client.get("/").text

    for app in apps.get_app_configs():
        if hasattr(app, "home"):
            assert f'<a href="{reverse(app.home)}"' in page
            assert escape(app.summary) in page


def test_the_navigation_marks_the_current_app(admin_client):
    homes = [reverse(app.home) for app in apps.get_app_configs() if hasattr(app, "home")]

    for home in homes:
        marked = re.findall(r'<a href="([^"]+)"\s+aria-current', admin_client.get(home).text)
        assert marked == ([] if home == "/notifications/" else [home])  # not in the navigation


def test_visitors_see_a_login_link_and_no_notifications(client, django_assert_num_queries):
    with django_assert_num_queries(0):
        page = client.get("/").text

    assert 'href="/accounts/login/"' in page
    for part in ('id="unread-notifications"', "Log out", "/admin/", "hx-headers"):
        assert part not in page


def test_users_see_their_address_and_their_unread_notifications(ann_client, ann):
    notify(ann, "booking", "A new booking")

    page = ann_client.get("/").text

    assert "ann@example.com" in page
    assert 'class="badge">1 ' in page
    unread = re.search(r'<div role="status"[^>]+>(.*?)</div>', page, re.DOTALL)
    assert 'hx-include="find input"' in unread[0]
    assert 'hx-swap="innerHTML"' in unread[0]
    assert '<input type="hidden" name="shown" value="1">' in unread[1]
    assert "X-CSRFToken" in page
    assert "/admin/" not in page


def test_staff_see_a_link_to_the_admin(admin_client):
    assert '<a href="/admin/">Admin</a>' in admin_client.get("/").text


def test_with_a_websocket_pages_do_not_poll_for_notifications(ann_client, settings):
    settings.LIVE_URL = "/ws/live/"

    page = ann_client.get("/").text

    assert 'data-live-url="/ws/live/"' in page
    assert "live/live.js" in page
    assert 'hx-trigger="notification from:body"' in page


def test_without_a_websocket_pages_poll_for_notifications_every_ten_seconds(ann_client, settings):
    settings.LIVE_URL = ""

    page = ann_client.get("/").text

    assert "data-live-url" not in page
    assert "live/live.js" not in page
    assert 'hx-trigger="notification from:body, every 10s"' in page


def test_visitors_open_no_websocket(client, settings):
    settings.LIVE_URL = "/ws/live/"

    assert "live/live.js" not in client.get("/").text
