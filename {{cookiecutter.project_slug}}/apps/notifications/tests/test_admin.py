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


def test_the_list_finds_and_filters(admin_client, notification):
    found = reverse("admin:notifications_notification_changelist")

    assert "A new booking" in admin_client.get(found, {"q": "booking"}).text
    assert "A new booking" in admin_client.get(found, {"kind": "booking", "q": "ann@"}).text
    assert "A new booking" not in admin_client.get(found, {"read_at__isempty": "0"}).text


def test_the_list_does_not_read_the_whole_table(admin_client, notification):
    with CaptureQueriesContext(connection) as queries:
        admin_client.get(reverse("admin:notifications_notification_changelist"))

    assert not without_end(queries)


def test_nobody_writes_or_edits_one(admin_client, notification):
    page = reverse("admin:notifications_notification_change", args=[notification.pk])

    assert "A new booking" in admin_client.get(page).text
    assert admin_client.post(page, {"title": "Forged"}).status_code == 403
    assert admin_client.get(reverse("admin:notifications_notification_add")).status_code == 403


def test_a_user_who_was_told_something_can_be_deleted(admin_client, notification):
    page = reverse("admin:users_user_delete", args=[notification.user_id])

    admin_client.post(page, {"post": "yes"})

    assert not User.objects.filter(email="ann@example.com").exists()
