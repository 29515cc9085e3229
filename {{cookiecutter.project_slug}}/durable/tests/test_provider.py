"""The email provider: the requests it gets, and what its responses do to a mail.

The provider is a server on this machine that speaks the wire format of durable/tests/providers.
"""

import re
import runpy
import threading
from functools import partial
from pathlib import Path

import pytest
from django.db.models.functions import Now
from werkzeug import Response

from durable.mail import connection, delivery
from durable.mail.models import Email
from durable.mail.rendering import message_id, render
from durable.tests.providers import RECIPIENT, load_providers

pytestmark = pytest.mark.django_db

LONG_TIMEOUT = 30.0  # seconds; a busy machine may need some of them to respond
SHORT_TIMEOUT = 0.3  # seconds, for a provider that does not respond
PROVIDERS = load_providers()
STATUSES = {f"HTTP {status}": status for status in (401, 429, 500, 503)}
TEMPORARY = [
    (name, word)
    for name, provider in PROVIDERS.items()
    for word in (*STATUSES, *provider.temporary)
]
PERMANENT = [
    (name, word) for name, provider in PROVIDERS.items() for word in ("refused", *provider.rejects)
]
ACCEPTED = [
    (name, word)
    for name, provider in PROVIDERS.items()
    for word in ("accepted", *(["duplicate"] if provider.duplicate else []))
]


class Server:
    """The provider's server: records the mails that it gets, and responds as the test wants."""

    def __init__(self, provider):
        self.provider = provider
        self.mails = []
        self.response = provider.accept

    def handle(self, request):
        self.mails.append(self.provider.read(request))
        return self.response()


@pytest.fixture(params=PROVIDERS)
def provider(request):
    return PROVIDERS[request.param]


@pytest.fixture
def server(provider, httpserver, settings, monkeypatch):
    for name, value in provider.environment.items():
        monkeypatch.setenv(name, value)
    settings.EMAIL_BACKEND = provider.backend
    settings.ANYMAIL = {
        **provider.anymail,
        **provider.local(httpserver.url_for("/"), LONG_TIMEOUT),
    }
    server = Server(provider)
    httpserver.expect_request(re.compile(".*")).respond_with_handler(server.handle)
    connection.close()
    yield server
    connection.close()
    httpserver.check_assertions()
    httpserver.check_handler_errors()


@pytest.fixture
def email():
    return Email.objects.create(
        template="test_email", to=f"Änn <{RECIPIENT}>", context={"queued_by": "a test"}
    )


def deliver(email):
    """Try once, now, and return whether another attempt follows."""
    Email.objects.filter(pk=email.pk).update(next_attempt_at=Now())
    delay = delivery.deliver(str(email.pk))
    email.refresh_from_db()
    return delay is not None


def test_the_environment_of_production_makes_these_settings(monkeypatch):
    monkeypatch.setenv("EMAIL_URL", "")
    for provider in PROVIDERS.values():
        for name, value in provider.environment.items():
            monkeypatch.setenv(name, value)

    made = runpy.run_path(str(Path(__file__).parents[2] / "config/settings/email.py"))

    (provider,) = [one for one in PROVIDERS.values() if one.backend == made["EMAIL_BACKEND"]]
    assert made["EMAIL_WEBHOOK"] == provider.webhook
    assert made["ANYMAIL"] == {**provider.anymail, "REQUESTS_TIMEOUT": made["EMAIL_TIMEOUT"]}


def test_an_accepted_mail_is_sent_with_the_providers_id(server, email):
    assert not deliver(email)

    (mail,) = server.mails
    content = render(email)
    assert RECIPIENT in mail.to
    assert mail.subject == content.subject
    assert mail.text.splitlines() == content.text.splitlines()
    assert mail.html.splitlines() == content.html.splitlines()
    assert (email.status, email.last_error) == ("sent", "")
    assert email.message_id == server.provider.message_id(mail)


def test_an_address_is_recognized_in_another_form(server, email):
    accept = server.provider.accept
    email.to = "Ann <ann@b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example>"
    email.save()

    def accept_as_sent():
        response = accept()
        response.set_data(
            response.get_data(as_text=True).replace(RECIPIENT, "ann@xn--bcher-kva.example")
        )
        return response

    server.response = accept_as_sent
    assert not deliver(email)

    (mail,) = server.mails
    assert (email.status, email.message_id) == ("sent", server.provider.message_id(mail))


def test_the_rows_id_names_the_mail_if_the_provider_lets_it(server, email):
    deliver(email)

    assert server.mails[0].key in {"", str(email.pk)}


@pytest.mark.parametrize(("provider", "word"), ACCEPTED, indirect=["provider"])
def test_a_mail_whose_response_was_lost_is_sent(server, email, word):
    server.response = partial(Response, "lost", 502)
    assert deliver(email)

    provider = server.provider
    server.response = {"accepted": provider.accept, "duplicate": provider.duplicate}[word]
    assert not deliver(email)

    assert (email.status, email.last_error) == ("sent", "")
    assert email.message_id in {provider.message_id(server.mails[1]), message_id(email)}


@pytest.mark.parametrize(("provider", "word"), TEMPORARY, indirect=["provider"])
def test_a_temporary_error_is_retried_under_the_same_key(server, email, word):
    server.response = server.provider.temporary.get(word) or partial(
        Response, "later", STATUSES[word]
    )
    assert deliver(email)
    assert (email.status, email.attempts) == ("queued", 1)
    assert email.last_error
    assert str(STATUSES.get(word, "")) in email.last_error

    server.response = server.provider.accept
    assert not deliver(email)
    assert (email.status, email.attempts) == ("sent", 2)
    first, second = server.mails
    assert first.key == second.key
    assert [event.kind for event in email.events.all()] == ["retrying", "sent"]


@pytest.mark.parametrize(("provider", "word"), PERMANENT, indirect=["provider"])
def test_a_permanent_refusal_fails_at_once(server, email, word):
    server.response = {"refused": server.provider.refuse, **server.provider.rejects}[word]

    assert not deliver(email)

    assert email.status == "failed"
    assert email.last_error
    assert [event.kind for event in email.events.all()] == ["failed"]


@pytest.mark.parametrize("content", ["<html>Welcome to this hotel</html>", "[]", '{"odd": 1}'])
def test_an_unreadable_response_is_a_temporary_error(server, email, content):
    server.response = lambda: Response(content, 200, content_type="application/json")

    retries = deliver(email)

    assert (retries, email.status) == (
        (False, "sent") if server.provider.status_only else (True, "queued")
    )


def test_a_slow_provider_times_out(server, email, httpserver, settings):
    settings.ANYMAIL |= server.provider.local(httpserver.url_for("/"), SHORT_TIMEOUT)
    timed_out, responded = threading.Event(), threading.Event()

    def respond_late():
        timed_out.wait(LONG_TIMEOUT)
        responded.set()
        return server.provider.accept()

    server.response = respond_late

    assert deliver(email)

    timed_out.set()
    assert email.status == "queued"
    assert responded.wait(LONG_TIMEOUT)  # or the next test would get the response


def test_a_provider_that_is_away_is_a_temporary_error(server, email, settings):
    settings.ANYMAIL |= server.provider.local("http://127.0.0.1:1/", SHORT_TIMEOUT)

    assert deliver(email)

    assert email.status == "queued"
