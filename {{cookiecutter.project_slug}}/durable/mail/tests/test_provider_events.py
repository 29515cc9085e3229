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
    said = {"reject_reason": None, "description": None, "mta_response": None, "recipient": ""}
    record_report(
        sender=view,
        event=SimpleNamespace(event_type=event_type, **given | said | fields),
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
def test_what_the_provider_could_not_send_has_failed(email, event_type):
    report(event_type, description="no such template")

    email.refresh_from_db()
    assert (email.status, email.events.get().detail) == ("failed", "no such template")


@pytest.mark.parametrize("event_type", [EventType.OPENED, EventType.CLICKED])
def test_who_reads_a_mail_is_not_noted(email, event_type):
    report(event_type)

    assert not email.events.exists()


@pytest.mark.parametrize(
    ("reason", "suppressed"), [(RejectReason.BOUNCED, True), (RejectReason.TIMED_OUT, False)]
)
def test_only_an_address_that_is_no_good_is_suppressed(email, reason, suppressed):
    report(EventType.BOUNCED, reject_reason=reason)

    email.refresh_from_db()
    assert email.status == "bounced"
    assert Suppression.objects.exists() is suppressed


def test_a_report_about_an_attempt_whose_answer_was_lost_counts_for_the_address(email):
    report(EventType.COMPLAINED, message_id="of the first attempt", recipient="Ann@Example.com")

    email.refresh_from_db()
    assert email.status == "sent"
    assert Suppression.objects.get().address == "ann@example.com"


def test_a_bounce_by_unisender_go_without_a_reason_moves_the_mail(email):
    said = {"status": "hard_bounced"}
    report(EventType.BOUNCED, view=UnisenderGoWebhookView, esp_event=said)

    email.refresh_from_db()
    assert email.status == "bounced"
    assert not Suppression.objects.exists()


def test_a_report_without_the_name_of_a_mail_belongs_to_none(make_email):
    email = make_email(status="sent")

    report(EventType.DELIVERED, message_id=None)

    assert not email.events.exists()
