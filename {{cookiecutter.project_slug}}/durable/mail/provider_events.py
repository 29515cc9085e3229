"""Writes down what a provider reports about a mail after it has accepted it.

Anymail's webhook views have looked at the provider's secret or signature by then.
"""

import hashlib
import json
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


@receiver(tracking)
def record_report(sender: Any, event: AnymailTrackingEvent, esp_name: str, **_: Any) -> None:
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
        # The account may be shared: another service's mail may have several recipients.
        if event.recipient and not getattr(sender, "reports_first_recipient", False):
            suppress(bare_address(event.recipient), event, sender)
        return
    with transaction.atomic():
        _event, new = EmailEvent.objects.get_or_create(
            provider_report=fingerprint(event, esp_name),
            defaults={"email": email, "kind": kind, "detail": describe(event)},
        )
        if new and kind in REPLACES:
            Email.objects.filter(pk=email.pk, status__in=REPLACES[kind]).update(status=kind)
        if new:
            suppress(email.address, event, sender)
    logger.info("email_reported", provider=esp_name, report=kind, email_id=str(email.pk), new=new)


def suppress(address: str, event: AnymailTrackingEvent, view: Any) -> None:
    """Let nothing more go to an address, if the report is a reason for that."""
    if reason := reason_to_suppress(event, view):
        Suppression.objects.get_or_create(
            address=address, defaults={"reason": reason, "detail": describe(event)}
        )


def reason_to_suppress(event: AnymailTrackingEvent, view: Any) -> Suppression.Reason | None:
    """Return why an address must be suppressed, or None.

    A full mailbox or a server that is away is no reason.

    Args:
        event: the report.
        view: the provider's webhook view, which may have a rule of its own; see durable/mail/providers.
    """
    if event.event_type == EventType.COMPLAINED:
        return Suppression.Reason.COMPLAINT
    if event.event_type != EventType.BOUNCED:
        return None
    is_hard = getattr(view, "is_hard_bounce", is_bad_address)
    return Suppression.Reason.BOUNCE if is_hard(event) else None


def is_bad_address(event: AnymailTrackingEvent) -> bool:
    """Return whether Anymail's reason for a bounce is the address."""
    return event.reject_reason in {RejectReason.BOUNCED, RejectReason.INVALID}


def fingerprint(event: AnymailTrackingEvent, esp_name: str) -> str:
    """Return the same text for the same report, also where the provider gives it no id."""
    when = event.timestamp.isoformat() if event.timestamp else ""
    parts = [esp_name, event.event_type, event.message_id, event.event_id or when]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def describe(event: AnymailTrackingEvent) -> str:
    """Say what the provider said, no longer than a screen."""
    said = (event.reject_reason, event.description, event.mta_response)
    return clean_text(" ".join(dict.fromkeys(str(part) for part in said if part)))[:2000]
