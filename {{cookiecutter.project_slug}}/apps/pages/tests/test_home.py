import pytest

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
