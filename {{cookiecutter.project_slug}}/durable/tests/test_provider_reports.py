"""The provider's reports about accepted mails, in the wire format of durable/tests/providers."""

import json
from importlib import reload

import pytest
from django.urls import clear_url_caches, reverse

import config.urls
from durable.mail.models import Email, Suppression
from durable.tests.providers import RECIPIENT, Mail, Report, load_providers

pytestmark = pytest.mark.django_db

PROVIDERS = {name: provider for name, provider in load_providers().items() if provider.webhook}
# Status of the mail, kind of the event, and reason of the suppression.
OUTCOMES = {
    "delivered": ("delivered", "delivered", None),
    "hard_bounce": ("bounced", "bounced", "bounce"),
    "soft_bounce": ("bounced", "bounced", None),
    "deferred": ("sent", "retrying", None),
    "complained": ("complained", "complained", "complaint"),
}
REPORTS = [
    (name, report)
    for name, provider in PROVIDERS.items()
    for report in OUTCOMES
    if getattr(provider, report)
]


@pytest.fixture(params=PROVIDERS)
def provider(request, settings, monkeypatch):
    provider = PROVIDERS[request.param]
    for name, value in provider.environment.items():
        monkeypatch.setenv(name, value)
    settings.ANYMAIL = provider.anymail
    settings.EMAIL_WEBHOOK = provider.webhook
    reload(config.urls)
    clear_url_caches()
    return provider


@pytest.fixture
def email(provider):
    email = Email(template="test_email", to=f"Ann <{RECIPIENT}>", status="sent")
    mail = Mail(RECIPIENT, subject="", text="", html="", key=str(email.pk))
    email.message_id = provider.message_id(mail)
    email.save()
    return email


@pytest.fixture
def post(client):
    def post(report):
        headers = {name: value for name, value in report.headers.items() if name != "Content-Type"}
        return client.generic(  # the body as it is
            "POST",
            reverse("email_webhook"),
            report.body,
            content_type=report.headers["Content-Type"],
            headers=headers,
        )

    return post


@pytest.mark.parametrize(("provider", "report"), REPORTS, indirect=["provider"])
def test_a_report_changes_the_status(provider, email, post, report):
    response = post(getattr(provider, report)(email.message_id))

    assert 200 <= response.status_code < 300
    email.refresh_from_db()
    suppressed = Suppression.objects.filter(address=RECIPIENT).values_list("reason", flat=True)
    assert (email.status, email.events.get().kind, suppressed.first()) == OUTCOMES[report]


@pytest.mark.parametrize(("provider", "report"), REPORTS, indirect=["provider"])
def test_the_same_report_twice_counts_once(provider, email, post, report):
    body = getattr(provider, report)(email.message_id)

    assert post(body).status_code == post(body).status_code

    assert email.events.count() == 1
    assert Suppression.objects.count() <= 1


def test_a_delivery_does_not_hide_a_bounce_that_came_first(provider, email, post):
    post(provider.hard_bounce(email.message_id))
    post(provider.delivered(email.message_id))

    email.refresh_from_db()
    assert email.status == "bounced"
    assert [event.kind for event in email.events.all()] == ["bounced", "delivered"]


def test_a_report_of_an_unknown_mail_is_logged_and_accepted(provider, email, post, caplog):
    Email.objects.update(message_id="another")

    response = post(provider.hard_bounce(email.message_id))

    assert 200 <= response.status_code < 300
    assert "email_report_unknown" in caplog.text
    assert email.events.count() == 0
    # It may be of an attempt whose response was lost, and the address is bad for every mail. Resend
    # may mean another recipient, of another service's mail.
    addresses = [] if "resend" in provider.webhook else [RECIPIENT]
    assert list(Suppression.objects.values_list("address", flat=True)) == addresses


def test_a_forged_report_changes_nothing(provider, email, post):
    for word, report in provider.forged(email.message_id).items():
        assert 400 <= post(report).status_code < 500, word

    email.refresh_from_db()
    assert (email.status, email.events.count()) == ("sent", 0)


NESTED = b"[" * 100_000 + b"]" * 100_000
BODIES = [
    b"",
    b"null",
    b"[]",
    b"{}",
    b'"x"',
    b"7",
    b"NaN",
    b"[null]",
    b"[[]]",
    b'{"a":',
    b"\x00\xff",
]
BODIES += [b'{"signature": null}', b'{"signature": {"token": 1}}', b'{"event-data": []}', NESTED]
BODIES += [
    b'{"Type": 1}',
    b"mandrill_events=null",
    b"mandrill_events=7",
    b'{"events": [1]}',
    b"[1]",
]
TYPES = [
    "application/json",
    "text/plain",
    "application/x-www-form-urlencoded",
    "",
    "x",
    "multipart/form-data",
]


def test_no_body_without_a_signature_is_an_error_of_the_service(provider, email, post):
    for content_type in TYPES:
        for body in BODIES:
            response = post(Report(body, {"Content-Type": content_type}))
            assert 400 <= response.status_code < 500, (content_type, body[:50])


def test_a_huge_body_is_refused(provider, email, post):
    body = b'"' + b"x" * 3_000_000 + b'"'

    response = post(Report(body, {"Content-Type": "application/json"}))

    assert 400 <= response.status_code < 500


def test_an_authorized_body_that_is_no_report_is_not_an_error_of_the_service(provider, email, post):
    headers = provider.delivered(email.message_id).headers
    for body in BODIES:
        assert post(Report(body, headers)).status_code < 500, body[:50]


if "mailgun" in PROVIDERS:

    @pytest.mark.parametrize("provider", ["mailgun"], indirect=True)
    def test_a_signature_of_mailgun_is_for_one_report(provider, email, post):
        seen = provider.delivered(email.message_id)
        stolen = {"signature": json.loads(seen.body)["signature"]}
        complaint = json.loads(provider.complained(email.message_id).body) | stolen
        forged = Report(json.dumps(complaint).encode(), seen.headers)

        assert post(seen).status_code == 200
        assert post(forged).status_code == 400
        assert post(seen).status_code == 200  # Mailgun repeats a report whose response was lost

        email.refresh_from_db()
        assert email.status == "delivered"
        assert not Suppression.objects.exists()

    @pytest.mark.parametrize("provider", ["mailgun"], indirect=True)
    def test_mailgun_has_to_repeat_its_report_while_redis_is_away(
        provider, email, post, redis_server
    ):
        redis_server.stop()
        assert post(provider.delivered(email.message_id)).status_code == 503

        email.refresh_from_db()
        assert email.status == "sent"
