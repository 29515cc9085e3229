import re
import time

import pytest
from django.core.cache import cache

from apps.contact import services
from apps.contact.models import Submission
from durable.api import Email

pytestmark = pytest.mark.django_db

MESSAGE = {
    "name": "Ann",
    "email": "ann@example.com",
    "subject": "Opening hours",
    "message": "When are you open?",
}


@pytest.fixture(autouse=True)
def _no_messages_yet():
    cache.clear()


@pytest.fixture
def send(client):
    def send(address="192.0.2.1", **changes):
        return client.post("/contact/", MESSAGE | changes, REMOTE_ADDR=address)

    return send


def test_every_field_has_a_label(client):
    page = client.get("/contact/").text

    assert "pages/style.css" in page
    for control in ("id_name", "id_email", "id_subject", "id_message", "website"):
        assert f'id="{control}"' in page
        assert f'<label for="{control}">' in page


def test_with_htmx_the_response_replaces_the_form(client, send):
    page = client.get("/contact/").text
    assert re.search(r'<form[^>]* hx-post="/contact/"[^>]* hx-select="#content"', page)
    assert '<main id="content">' in page

    thanks = client.post("/contact/", MESSAGE, follow=True, headers={"HX-Request": "true"}).text
    assert '<main id="content">' in thanks
    assert re.search(r"<h1[^>]* autofocus>Thank you", thanks)
    assert Submission.objects.count() == 1


def test_a_message_is_saved_and_confirmed(client, send):
    response = send()

    submission = Submission.objects.get()
    assert {name: getattr(submission, name) for name in MESSAGE} == MESSAGE
    assert Email.objects.get().to == "ann@example.com"
    assert response.url == "/contact/thanks/"
    assert "Thank you" in client.get(response.url).text


def test_without_redis_the_page_responds_and_the_mail_stays_queued(
    send, redis_server, caplog, django_capture_on_commit_callbacks
):
    redis_server.stop()
    started = time.monotonic()

    with django_capture_on_commit_callbacks(execute=True):
        response = send()

    assert time.monotonic() - started < 5
    assert "broker_unreachable" in caplog.text
    assert response.status_code == 302
    assert Email.objects.get().status == "queued"


def test_errors_are_listed_and_linked_to_their_fields(send):
    response = send(email="ann", name="")
    page = response.text

    assert response.status_code == 422
    assert "Error:" in page
    assert re.search(r'<section [^>]*tabindex="-1" autofocus>', page)
    for field in ("name", "email"):
        assert f'<a href="#id_{field}">' in page
        assert re.search(rf'aria-describedby="id_{field}_error"[^>]* id="id_{field}"', page)
        assert f'id="id_{field}_error"' in page
    assert "When are you open?" in page
    assert not Submission.objects.exists()


def test_an_address_that_cannot_receive_mail_is_a_form_error(send, monkeypatch):
    def reject(argument, address):
        raise ValueError(f"{argument}: {address!r} is not an email address")

    # Which addresses these are depends on Python's own parser.
    monkeypatch.setattr("apps.contact.forms.validate_address", reject)

    assert "Enter an address that can receive email." in send().text


def test_an_error_leaves_neither_message_nor_mail(send, monkeypatch):
    def fail(*_):
        raise RuntimeError("the last step fails")

    monkeypatch.setattr(services, "send_emails", fail)

    with pytest.raises(RuntimeError):
        send()
    assert not Submission.objects.exists()
    assert not Email.objects.exists()


@pytest.mark.parametrize("changes", [{}, {"email": "not an address"}], ids=["valid", "invalid"])
def test_bots_see_the_thank_you_page_and_are_ignored(send, caplog, changes):
    caplog.set_level("INFO")

    response = send(website="https://example.com", **changes)

    assert (response.status_code, response.url) == (302, "/contact/thanks/")
    assert "contact_bot_ignored" in caplog.text
    assert not Submission.objects.exists()
    assert not Email.objects.exists()


def test_the_sixth_message_of_an_hour_is_rejected_and_kept_in_the_form(send):
    assert [send().status_code for _ in range(5)] == [302] * 5

    rejected = send()

    assert rejected.status_code == 429
    assert "5 messages per hour" in rejected.text
    assert "When are you open?" in rejected.text
    assert Submission.objects.count() == 5
    assert send(address="192.0.2.2").status_code == 302


def test_invalid_messages_do_not_count(send):
    for _ in range(6):
        send(email="ann")

    assert send().status_code == 302


def test_a_forged_header_does_not_change_the_client(client):
    codes = [
        client.post(
            "/contact/", MESSAGE, headers={"X-Forwarded-For": f"192.0.2.{n}, 198.51.100.1"}
        ).status_code
        for n in range(6)
    ]

    assert codes == [302] * 5 + [429]


def test_behind_a_proxy_each_client_has_its_own_limit(client, settings):
    def send(address):
        return client.post("/contact/", MESSAGE, headers={"X-Forwarded-For": address}).status_code

    assert [send("192.0.2.1") for _ in range(6)] == [302] * 5 + [429]
    assert send("192.0.2.2") == 302
    settings.TRUSTED_PROXIES = 0
    assert [send(f"192.0.2.{n}") for n in range(6)] == [302] * 5 + [429]


def test_without_the_cache_there_is_no_limit(send, redis_server, caplog):
    redis_server.stop()

    assert [send().status_code for _ in range(6)] == [302] * 6
    assert "rate_limit_disabled" in caplog.text
