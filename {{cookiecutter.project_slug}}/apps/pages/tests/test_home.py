import pytest

pytestmark = pytest.mark.django_db


def test_strangers_learn_the_name_and_nothing_more(client):
    page = client.get("/")

    assert page.status_code == 200
    assert "Log in" in page.text
    assert "What runs" not in page.text


def test_staff_see_what_runs_and_where_to_look(admin_client):
    page = admin_client.get("/").text

    assert "Database" in page
    assert "Waiting messages: " in page
    assert "send_test_email" in page


def test_developers_see_it_without_a_login(client, settings):
    settings.DEBUG = True

    assert "What runs" in client.get("/").text
