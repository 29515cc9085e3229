import pytest

from apps.pages import views
from durable.api import FailedTask

pytestmark = pytest.mark.django_db


def test_visitors_do_not_see_the_status(client):
    page = client.get("/")

    assert page.status_code == 200
    assert "Log in" in page.text
    assert "Status</h2>" not in page.text


def test_staff_see_the_status_and_links_to_the_admin(admin_client):
    page = admin_client.get("/").text

    assert "Database" in page
    assert "Waiting messages: " in page
    assert "send_test_email" in page


def test_developers_see_the_status_without_a_login(client, settings):
    settings.DEBUG = True

    assert "Status</h2>" in client.get("/").text


def test_failed_tasks_are_counted_up_to_a_bound(admin_client, monkeypatch):
    monkeypatch.setattr(views, "MAX_COUNTED", 2)
    shown = []
    for _ in range(3):
        FailedTask.objects.create(name="tests.failing", status="failed")
        shown.append(admin_client.get("/").context["failed_tasks"])

    assert shown == ["1", "2", "2+"]
