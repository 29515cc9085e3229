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
def received():
    """The arguments of `notified`, each with whether its row was visible."""
    received = []

    def receive(notification, **_):
        received.append((notification, Notification.objects.filter(pk=notification.pk).exists()))

    notified.connect(receive)
    yield received
    notified.disconnect(receive)


def test_the_signal_is_sent_after_the_commit(ann, received):
    with transaction.atomic():
        notification = notify(ann, "booking", "A new booking", url="/bookings/1/")
        assert received == []

    assert received == [(notification, True)]


def test_a_rollback_sends_no_signal(ann, received):
    with transaction.atomic():
        notify(ann, "booking", "A new booking")
        transaction.set_rollback(True)

    assert received == []
    assert not Notification.objects.exists()


def test_a_failing_receiver_does_not_affect_the_caller(ann):
    def fail(**_):
        raise ConnectionError

    notified.connect(fail)
    try:
        notify(ann, "booking", "A new booking")
    finally:
        notified.disconnect(fail)

    assert Notification.objects.count() == 1


@pytest.mark.parametrize("url", ["https://example.com/", "//example.com/", "/\\example.com", "x/"])
def test_a_link_to_another_site_is_invalid(ann, url):
    with pytest.raises(ValueError, match="is not a path of this service"):
        notify(ann, "booking", "A new booking", url=url)

    assert not Notification.objects.exists()


def test_a_long_title_is_truncated(ann):
    assert notify(ann, "booking", "a" * 500).title == "a" * 199 + "…"


def test_an_announcement_is_sent_after_the_commit_and_not_stored():
    received = []

    def receive(title, url, **_):
        received.append((title, url))

    announced.connect(receive)
    try:
        with transaction.atomic():
            announce_to_staff("A new booking", "/bookings/1/")
            assert received == []
    finally:
        announced.disconnect(receive)

    assert received == [("A new booking", "/bookings/1/")]
    assert not Notification.objects.exists()
