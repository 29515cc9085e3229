"""The provider's reports about accepted mails, in the wire format of durable/tests/providers."""

from importlib import reload

import pytest
from django.urls import clear_url_caches, reverse

import config.urls
from durable.mail.models import Email, Suppression
from durable.tests.providers import RECIPIENT, Mail, load_providers

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
        return client.post(
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
