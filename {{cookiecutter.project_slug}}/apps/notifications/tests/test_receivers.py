import pytest
from django.contrib.auth.models import Permission

from apps.notifications.models import Notification
from apps.users.models import User
from durable.api import health_changed

pytestmark = pytest.mark.django_db


def make_user(name, *, may_see=True, **fields):
    user = User.objects.create_user(f"{name}@example.com", "a long password", **fields)
    if may_see:
        user.user_permissions.add(Permission.objects.get(codename="view_console"))
    return user


def send(state):
    health_changed.send(None, problem="Queue emails", state=state, text="No worker consumes it.")


def test_staff_who_can_see_the_console_are_notified():
    make_user("staff", is_staff=True)
    make_user("root", is_staff=True, is_superuser=True, may_see=False)
    make_user("inactive", is_staff=True, is_active=False)
    make_user("other", is_staff=True, may_see=False)
    make_user("customer")

    send("begun")

    found = Notification.objects.order_by("user__email")
    assert [str(each.user) for each in found] == ["root@example.com", "staff@example.com"]
    assert {(each.title, each.body, each.url) for each in found} == {
        ("Problem: Queue emails", "No worker consumes it.", "/console/")
    }


def test_a_notification_follows_when_it_is_over_but_none_while_it_lasts():
    make_user("staff", is_staff=True)

    for state in ("begun", "lasting", "over"):
        send(state)

    titles = Notification.objects.order_by("pk").values_list("title", flat=True)
    assert list(titles) == ["Problem: Queue emails", "Resolved: Queue emails"]
