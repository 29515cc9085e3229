from types import SimpleNamespace

import pytest
from anymail.signals import EventType, RejectReason
from django.utils.timezone import now

from durable.mail.models import Suppression
from durable.mail.provider_events import record_report
from durable.mail.providers.unisender_go import UnisenderGoWebhookView

NAME = "given-by-the-provider"


def report(event_type, view=None, **fields):
    given = {"message_id": NAME, "timestamp": now(), "event_id": None, "esp_event": {}}
    texts = {"reject_reason": None, "description": None, "mta_response": None, "recipient": ""}
    record_report(
        sender=view,
        event=SimpleNamespace(event_type=event_type, **given | texts | fields),
        esp_name="A provider",
    )


@pytest.fixture
def email(make_email):
    return make_email(status="sent", message_id=NAME, to="Ann <Ann@Example.com>")


def test_a_complaint_after_the_delivery_is_a_complaint(email):
    for event_type in (EventType.DELIVERED, EventType.COMPLAINED, EventType.DELIVERED):
        report(event_type)

    email.refresh_from_db()
    assert email.status == "complained"
    assert Suppression.objects.get().address == "ann@example.com"


@pytest.mark.parametrize("event_type", [EventType.REJECTED, EventType.FAILED])
def test_a_rejected_mail_has_failed(email, event_type):
    report(event_type, description="no such template")

    email.refresh_from_db()
    assert (email.status, email.events.get().detail) == ("failed", "no such template")


@pytest.mark.parametrize("event_type", [EventType.OPENED, EventType.CLICKED])
def test_opened_and_clicked_are_not_recorded(email, event_type):
    report(event_type)

    assert not email.events.exists()


@pytest.mark.parametrize(
    ("reason", "suppressed"), [(RejectReason.BOUNCED, True), (RejectReason.TIMED_OUT, False)]
)
def test_only_a_hard_bounce_suppresses_the_address(email, reason, suppressed):
    report(EventType.BOUNCED, reject_reason=reason)

    email.refresh_from_db()
    assert email.status == "bounced"
    assert Suppression.objects.exists() is suppressed


def test_a_report_of_an_unknown_attempt_suppresses_the_address(email):
    report(EventType.COMPLAINED, message_id="of the first attempt", recipient="Ann@Example.com")

    email.refresh_from_db()
    assert email.status == "sent"
    assert Suppression.objects.get().address == "ann@example.com"


def test_a_bounce_without_a_reason_changes_the_status(email):
    raw = {"status": "hard_bounced"}
    report(EventType.BOUNCED, view=UnisenderGoWebhookView, esp_event=raw)

    email.refresh_from_db()
    assert email.status == "bounced"
    assert not Suppression.objects.exists()


def test_a_report_without_a_message_id_belongs_to_no_mail(make_email):
    email = make_email(status="sent")

    report(EventType.DELIVERED, message_id=None)

    assert not email.events.exists()


@pytest.mark.parametrize(
    "text", ["a\x00b", "a\udcffb", "x" * 400, "x" * 400 + "@example.com", ["a"], 7]
)
def test_a_report_with_any_text_is_accepted(email, text):
    report(EventType.COMPLAINED, message_id=text, recipient=text, description=text)
    report(EventType.COMPLAINED, description=text)

    email.refresh_from_db()
    assert email.status == "complained"
    assert Suppression.objects.get().address == "ann@example.com"
