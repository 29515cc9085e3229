import pytest
from django.contrib.auth.models import Permission
from django.db.models.functions import Now
from django.urls import reverse

from apps.contact.models import Submission

pytestmark = pytest.mark.django_db

LIST = "/admin/contact/submission/"


@pytest.fixture
def read():
    return Submission.objects.create(name="Bob", subject="Old news", read_at=Now())


@pytest.fixture
def unread():
    return Submission.objects.create(name="Ann", subject="Brand new", message="<i>Hello</i>")


@pytest.fixture
def staff_client(client, django_user_model):
    user = django_user_model.objects.create_user("staff@example.com", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_submission"))
    client.force_login(user)
    return client


def act(client, action, *submissions):
    data = {"action": action, "_selected_action": [submission.pk for submission in submissions]}
    return client.post(LIST, data, follow=True).text


def test_unread_messages_come_first(admin_client, unread, read):
    page = admin_client.get(LIST).text

    assert page.index("Brand new") < page.index("Old news")


@pytest.mark.parametrize(
    ("value", "shown", "hidden"),
    [("no", "Brand new", "Old news"), ("yes", "Old news", "Brand new")],
)
def test_the_list_filters_by_read(admin_client, unread, read, value, shown, hidden):
    page = admin_client.get(LIST, {"read": value}).text

    assert shown in page
    assert hidden not in page


def test_marking_as_read_keeps_an_earlier_time(admin_client, unread, read):
    read.refresh_from_db()
    first = read.read_at

    assert "1 marked as read" in act(admin_client, "mark_as_read", unread, read)

    unread.refresh_from_db()
    read.refresh_from_db()
    assert unread.read_at is not None
    assert read.read_at == first


def test_marking_as_unread_removes_the_time(admin_client, unread, read):
    assert "1 marked as unread" in act(admin_client, "mark_as_unread", unread, read)

    assert Submission.objects.filter(read_at=None).count() == 2


def test_messages_are_read_only(admin_client, unread):
    url = reverse("admin:contact_submission_change", args=[unread.pk])
    page = admin_client.get(url).text

    assert "&lt;i&gt;Hello&lt;/i&gt;" in page
    assert 'name="_save"' not in page
    assert admin_client.post(url, {"subject": "Forged"}).status_code == 403
    assert admin_client.get(f"{LIST}add/").status_code == 403


def test_view_only_users_mark_nothing(staff_client, unread):
    act(staff_client, "mark_as_read", unread)

    unread.refresh_from_db()
    assert unread.read_at is None
