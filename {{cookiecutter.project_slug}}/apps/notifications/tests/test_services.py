import pytest
from django.db import transaction

from apps.notifications.models import Notification
from apps.notifications.services import announce_to_staff, notify
from apps.notifications.signals import announced, notified
from apps.users.models import User

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ann():
    return User.objects.create_user("ann@example.com")


@pytest.fixture
def heard():
    heard = []

    def listen(notification, **_):
        heard.append((notification, Notification.objects.filter(pk=notification.pk).exists()))

    notified.connect(listen)
    yield heard
    notified.disconnect(listen)


def test_a_notification_is_told_after_the_commit(ann, heard):
    with transaction.atomic():
        notification = notify(ann, "booking", "A new booking", url="/bookings/1/")
        assert heard == []

    assert heard == [(notification, True)]


def test_what_is_rolled_back_is_told_to_nobody(ann, heard):
    with transaction.atomic():
        notify(ann, "booking", "A new booking")
        transaction.set_rollback(True)

    assert heard == []
    assert not Notification.objects.exists()


def test_who_fails_to_listen_does_not_hurt_the_caller(ann):
    def fail(**_):
        raise ConnectionError

    notified.connect(fail)
    try:
        notify(ann, "booking", "A new booking")
    finally:
        notified.disconnect(fail)

    assert Notification.objects.count() == 1


@pytest.mark.parametrize("url", ["https://example.com/", "//example.com/", "/\\example.com", "x/"])
def test_a_link_that_leads_elsewhere_is_refused(ann, url):
    with pytest.raises(ValueError, match="is not a path of this service"):
        notify(ann, "booking", "A new booking", url=url)

    assert not Notification.objects.exists()


def test_a_title_that_is_too_long_is_cut_and_harms_nobody(ann):
    assert notify(ann, "booking", "a" * 500).title == "a" * 199 + "…"


def test_an_announcement_is_told_after_the_commit_and_not_kept():
    heard = []

    def listen(title, url, **_):
        heard.append((title, url))

    announced.connect(listen)
    try:
        with transaction.atomic():
            announce_to_staff("A new booking", "/bookings/1/")
            assert heard == []
    finally:
        announced.disconnect(listen)

    assert heard == [("A new booking", "/bookings/1/")]
    assert not Notification.objects.exists()
