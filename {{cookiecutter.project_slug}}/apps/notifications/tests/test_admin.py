import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.notifications.services import notify
from apps.users.models import User
from durable.testing.plans import without_end

pytestmark = pytest.mark.django_db


@pytest.fixture
def notification():
    return notify(User.objects.create_user("ann@example.com"), "booking", "A new booking")


def test_the_list_searches_and_filters(admin_client, notification):
    url = reverse("admin:notifications_notification_changelist")

    assert "A new booking" in admin_client.get(url, {"q": "booking"}).text
    assert "A new booking" in admin_client.get(url, {"kind": "booking", "q": "ann@"}).text
    assert "A new booking" not in admin_client.get(url, {"read_at__isempty": "0"}).text


def test_the_list_does_not_read_the_whole_table(admin_client, notification):
    with CaptureQueriesContext(connection) as queries:
        admin_client.get(reverse("admin:notifications_notification_changelist"))

    assert not without_end(queries)


def test_notifications_are_read_only(admin_client, notification):
    page = reverse("admin:notifications_notification_change", args=[notification.pk])

    assert "A new booking" in admin_client.get(page).text
    assert admin_client.post(page, {"title": "Forged"}).status_code == 403
    assert admin_client.get(reverse("admin:notifications_notification_add")).status_code == 403


def test_a_user_with_notifications_can_be_deleted(admin_client, notification):
    page = reverse("admin:users_user_delete", args=[notification.user_id])

    admin_client.post(page, {"post": "yes"})

    assert not User.objects.filter(email="ann@example.com").exists()
