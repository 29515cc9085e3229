"""The email provider: what it gets, and what its answers do to a mail.

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
from durable.tests.providers import RECIPIENT, find

pytestmark = pytest.mark.django_db

PATIENCE = 5.0  # seconds; a busy machine may take some to answer at once
TIMEOUT = 0.3  # seconds, where the provider is slow
PROVIDERS = find()
LATER = {f"HTTP {status}": status for status in (401, 429, 500, 503)}
PASSES = [
    (name, word) for name, provider in PROVIDERS.items() for word in (*LATER, *provider.passes)
]
NEVER = [
    (name, word) for name, provider in PROVIDERS.items() for word in ("refused", *provider.rejects)
]
TAKES = [
    (name, word)
    for name, provider in PROVIDERS.items()
    for word in ("accepted", *(["had before"] if provider.had else []))
]


class Desk:
    """The provider's server: answers as told, and keeps what it was asked."""

    def __init__(self, provider):
        self.provider = provider
        self.mails = []
        self.answer = provider.accept

    def take(self, request):
        self.mails.append(self.provider.read(request))
        return self.answer()


@pytest.fixture(params=PROVIDERS)
def provider(request):
    return PROVIDERS[request.param]


@pytest.fixture
def desk(provider, httpserver, settings, monkeypatch):
    for name, value in provider.environment.items():
        monkeypatch.setenv(name, value)
    settings.EMAIL_BACKEND = provider.backend
    settings.ANYMAIL = {**provider.anymail, **provider.local(httpserver.url_for("/"), PATIENCE)}
    desk = Desk(provider)
    httpserver.expect_request(re.compile(".*")).respond_with_handler(desk.take)
    connection.close()
    yield desk
    connection.close()
    httpserver.check_assertions()
    httpserver.check_handler_errors()


@pytest.fixture
def email():
    return Email.objects.create(
        template="test_email", to=f"Änn <{RECIPIENT}>", context={"queued_by": "a test"}
    )


def deliver(email):
    """Try once, now, and return whether the mail waits for another attempt."""
    Email.objects.filter(pk=email.pk).update(next_attempt_at=Now())
    try:
        delivery.deliver(str(email.pk))
    except delivery.Deferred:
        waits = True
    else:
        waits = False
    email.refresh_from_db()
    return waits


def test_what_production_needs_makes_these_settings(monkeypatch):
    monkeypatch.setenv("EMAIL_URL", "")
    for provider in PROVIDERS.values():
        for name, value in provider.environment.items():
            monkeypatch.setenv(name, value)

    made = runpy.run_path(str(Path(__file__).parents[2] / "config/settings/email.py"))

    (provider,) = [one for one in PROVIDERS.values() if one.backend == made["EMAIL_BACKEND"]]
    assert made["EMAIL_WEBHOOK"] == provider.webhook
    assert made["ANYMAIL"] == {**provider.anymail, "REQUESTS_TIMEOUT": made["EMAIL_TIMEOUT"]}


def test_an_accepted_mail_is_sent_under_the_providers_id(desk, email):
    assert not deliver(email)

    (mail,) = desk.mails
    content = render(email)
    assert RECIPIENT in mail.to
    assert mail.subject == content.subject
    assert mail.text.splitlines() == content.text.splitlines()
    assert mail.html.splitlines() == content.html.splitlines()
    assert (email.status, email.last_error) == ("sent", "")
    assert email.message_id == desk.provider.message_id(mail)


def test_an_address_is_known_again_in_another_form(desk, email):
    accept = desk.provider.accept
    email.to = "Ann <ann@b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example>"
    email.save()

    def accept_as_sent():
        answer = accept()
        answer.set_data(
            answer.get_data(as_text=True).replace(RECIPIENT, "ann@xn--bcher-kva.example")
        )
        return answer

    desk.answer = accept_as_sent
    assert not deliver(email)

    (mail,) = desk.mails
    assert (email.status, email.message_id) == ("sent", desk.provider.message_id(mail))


def test_the_row_names_the_mail_where_the_provider_lets_it(desk, email):
    deliver(email)

    assert desk.mails[0].key in {"", str(email.pk)}


@pytest.mark.parametrize(("provider", "word"), TAKES, indirect=["provider"])
def test_a_mail_whose_answer_was_lost_is_sent(desk, email, word):
    desk.answer = partial(Response, "lost", 502)
    assert deliver(email)

    desk.answer = {"accepted": desk.provider.accept, "had before": desk.provider.had}[word]
    assert not deliver(email)

    assert (email.status, email.last_error) == ("sent", "")
    assert email.message_id in {desk.provider.message_id(desk.mails[1]), message_id(email)}


@pytest.mark.parametrize(("provider", "word"), PASSES, indirect=["provider"])
def test_what_passes_is_tried_again_under_the_same_name(desk, email, word):
    desk.answer = desk.provider.passes.get(word) or partial(Response, "later", LATER[word])
    assert deliver(email)
    assert (email.status, email.attempts) == ("queued", 1)
    assert email.last_error
    assert str(LATER.get(word, "")) in email.last_error

    desk.answer = desk.provider.accept
    assert not deliver(email)
    assert (email.status, email.attempts) == ("sent", 2)
    first, second = desk.mails
    assert first.key == second.key
    assert [event.kind for event in email.events.all()] == ["deferred", "sent"]


@pytest.mark.parametrize(("provider", "word"), NEVER, indirect=["provider"])
def test_what_is_refused_for_good_fails_at_once(desk, email, word):
    desk.answer = {"refused": desk.provider.refuse, **desk.provider.rejects}[word]

    assert not deliver(email)

    assert email.status == "failed"
    assert email.last_error
    assert [event.kind for event in email.events.all()] == ["failed"]


@pytest.mark.parametrize("content", ["<html>Welcome to this hotel</html>", "[]", '{"odd": 1}'])
def test_an_answer_that_makes_no_sense_is_not_trusted(desk, email, content):
    desk.answer = lambda: Response(content, 200, content_type="application/json")

    waits = deliver(email)

    assert (waits, email.status) == (
        (False, "sent") if desk.provider.only_status else (True, "queued")
    )


def test_a_slow_provider_is_not_waited_for(desk, email, httpserver, settings):
    settings.ANYMAIL |= desk.provider.local(httpserver.url_for("/"), TIMEOUT)
    given_up, answered = threading.Event(), threading.Event()

    def dawdle():
        given_up.wait(PATIENCE)
        answered.set()
        return desk.provider.accept()

    desk.answer = dawdle

    assert deliver(email)

    given_up.set()
    assert email.status == "queued"
    assert answered.wait(PATIENCE)  # or the request would be answered in the next test


def test_a_provider_that_is_away_is_tried_again(desk, email, settings):
    settings.ANYMAIL |= desk.provider.local("http://127.0.0.1:1/", TIMEOUT)

    assert deliver(email)

    assert email.status == "queued"
