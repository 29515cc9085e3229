"""Writes down what a provider reports about a mail after it has accepted it.

Anymail's webhook views have looked at the provider's secret or signature by then.
"""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import structlog
from anymail.signals import AnymailTrackingEvent, EventType, RejectReason, tracking
from django.db import transaction
from django.dispatch import receiver

from durable.mail.models import Email, EmailEvent, Suppression, bare_address
from durable.text import clean_text

logger = structlog.get_logger(__name__)
Kind = EmailEvent.Kind
Status = Email.Status

KINDS = {
    EventType.DEFERRED: Kind.DEFERRED,
    EventType.DELIVERED: Kind.DELIVERED,
    EventType.BOUNCED: Kind.BOUNCED,
    EventType.COMPLAINED: Kind.COMPLAINED,
    EventType.REJECTED: Kind.FAILED,
    EventType.FAILED: Kind.FAILED,
}
# Reports may come late or out of order: which statuses a report may replace.
REPLACES = {
    Kind.DELIVERED: (Status.SENDING, Status.SENT),
    Kind.FAILED: (Status.SENDING, Status.SENT),
    Kind.BOUNCED: (Status.SENDING, Status.SENT, Status.DELIVERED, Status.FAILED),
    Kind.COMPLAINED: (Status.SENDING, Status.SENT, Status.DELIVERED, Status.BOUNCED),
}
# Their reports name the first recipient of a mail, whoever bounced. Mails of this service have one; of others,
# which share the account, nobody knows.
NAMES_THE_FIRST = {"Resend"}
# Anymail gives a soft bounce the same type as a hard one for these, or gives no reason; what the
# provider itself says decides.
IS_HARD: dict[str, Callable[[Any], bool]] = {
    "Amazon SES": lambda said: said["bounce"]["bounceType"] == "Permanent",
    "Brevo": lambda said: said["event"] == "hard_bounce",
    "MailerSend": lambda said: said["data"]["type"] == "hard_bounced",
    "Mailjet": lambda said: bool(said.get("hard_bounce")),
    "Mailtrap": lambda said: said.get("bounce_category", "badrecipient") == "badrecipient",
    "Mandrill": lambda said: said["event"] == "hard_bounce",
    "Postmark": lambda said: said.get("Type") == "HardBounce",
    "Resend": lambda said: said["data"]["bounce"].get("type", "Permanent") == "Permanent",
    "SendGrid": lambda said: said.get("type") == "bounce",
    # https://support.sparkpost.com/docs/deliverability/bounce-classification-codes
    "SparkPost": lambda said: next(iter(said["msys"].values()))["bounce_class"] in {"10", "30"},
    # https://godocs.unisender.ru/email-statuses
    "Unisender Go": lambda said: (
        said.get("delivery_info", {}).get("delivery_status")
        in {"err_mailbox_discarded", "err_unreachable", "err_user_inactive", "err_user_unknown"}
    ),
}


@receiver(tracking)
def note_report(event: AnymailTrackingEvent, esp_name: str, **_: Any) -> None:
    """Move the row, leave an event, and suppress the address after a hard bounce or a complaint.

    A report of an unknown mail is logged and not refused, or the provider would send it for days. It
    may be of an attempt whose answer was lost, and what it says of the address holds for all mails.
    """
    kind = KINDS.get(event.event_type)
    if kind is None:  # opened, clicked and the like
        return
    email = Email.objects.filter(message_id=event.message_id or None).first()
    if email is None:
        logger.warning(
            "email_report_unknown", provider=esp_name, report=kind, message_id=event.message_id
        )
        if event.recipient and esp_name not in NAMES_THE_FIRST:
            suppress(bare_address(event.recipient), event, esp_name)
        return
    with transaction.atomic():
        _event, new = EmailEvent.objects.get_or_create(
            provider_report=fingerprint(event, esp_name),
            defaults={"email": email, "kind": kind, "detail": describe(event)},
        )
        if new and kind in REPLACES:
            Email.objects.filter(pk=email.pk, status__in=REPLACES[kind]).update(status=kind)
        if new:
            suppress(email.address, event, esp_name)
    logger.info("email_reported", provider=esp_name, report=kind, email_id=str(email.pk), new=new)


def suppress(address: str, event: AnymailTrackingEvent, esp_name: str) -> None:
    """Let nothing more go to an address, if the report is a reason for that."""
    if reason := reason_to_suppress(event, esp_name):
        Suppression.objects.get_or_create(
            address=address, defaults={"reason": reason, "detail": describe(event)}
        )


def reason_to_suppress(event: AnymailTrackingEvent, esp_name: str) -> Suppression.Reason | None:
    """Return why the address must not be written to again, or None if it may.

    A full mailbox or a server that is away is no reason.
    """
    if event.event_type == EventType.COMPLAINED:
        return Suppression.Reason.COMPLAINT
    if event.event_type != EventType.BOUNCED:
        return None
    if is_hard := IS_HARD.get(esp_name):
        hard = is_hard(event.esp_event)
    else:
        hard = event.reject_reason in {RejectReason.BOUNCED, RejectReason.INVALID}
    return Suppression.Reason.BOUNCE if hard else None


def fingerprint(event: AnymailTrackingEvent, esp_name: str) -> str:
    """Return the same text for the same report, also where the provider gives it no id."""
    when = event.timestamp.isoformat() if event.timestamp else ""
    parts = [esp_name, event.event_type, event.message_id, event.event_id or when]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def describe(event: AnymailTrackingEvent) -> str:
    """Say what the provider said, no longer than a screen."""
    said = (event.reject_reason, event.description, event.mta_response)
    return clean_text(" ".join(dict.fromkeys(str(part) for part in said if part)))[:2000]
