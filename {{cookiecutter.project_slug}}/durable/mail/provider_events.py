"""Records what a provider reports about a mail after it has accepted it.

Anymail's webhook view has checked the provider's secret or signature before.
"""

import hashlib
import json
from typing import Any

import structlog
from anymail.signals import AnymailTrackingEvent, EventType, RejectReason, tracking
from django.db import transaction
from django.dispatch import receiver

from durable import tracing
from durable.mail.addresses import bare_address, is_single_address
from durable.mail.models import Email, EmailEvent, Suppression
from durable.text import MAX_ERROR_LENGTH, clean_text

logger = structlog.get_logger(__name__)
Kind = EmailEvent.Kind

# Other reports, such as of an opened mail, are ignored.
KINDS = {
    EventType.DEFERRED: Kind.RETRYING,
    EventType.DELIVERED: Kind.DELIVERED,
    EventType.BOUNCED: Kind.BOUNCED,
    EventType.COMPLAINED: Kind.COMPLAINED,
    EventType.REJECTED: Kind.FAILED,
    EventType.FAILED: Kind.FAILED,
}


@receiver(tracking)
def record_report(sender: Any, event: AnymailTrackingEvent, esp_name: str, **_: Any) -> None:
    """Record a report, and suppress the address after a hard bounce or a complaint.

    A report of an unknown mail is logged and accepted, or the provider would repeat it for days. It
    may be of an attempt whose response was lost, so it counts for the address.

    Args:
        sender: the provider's webhook view.
        event: the report.
        esp_name: the provider's name.
    """
    kind = KINDS.get(event.event_type)
    if kind is None:
        return
    message_id = clean_text(str(event.message_id or "")) or None
    email = Email.objects.filter(message_id=message_id).first()
    if email is None:
        logger.warning(
            "email_report_unknown", provider=esp_name, report=kind, message_id=message_id
        )
        # The account may be shared: another service's mail may have several recipients.
        if event.recipient and not getattr(sender, "reports_first_recipient", False):
            suppress(bare_address(str(event.recipient)), event, sender)
        return
    about = {"email.report": kind, "email.provider": esp_name}
    with tracing.span("report of mail", email.traceparent, about), transaction.atomic():
        new = email.apply_report(report_id(event, esp_name), kind, describe(event))
        if new:
            suppress(email.address, event, sender)
    logger.info("email_reported", provider=esp_name, report=kind, email_id=str(email.pk), new=new)


def suppress(address: str, event: AnymailTrackingEvent, view: Any) -> None:
    """Suppress an address if the report is a reason for it; what is no address gets no mail anyway."""
    if is_single_address(address) and (reason := reason_to_suppress(event, view)):
        Suppression.objects.get_or_create(
            address=address, defaults={"reason": reason, "detail": describe(event)}
        )


def reason_to_suppress(event: AnymailTrackingEvent, view: Any) -> Suppression.Reason | None:
    """Return why an address must be suppressed, or None.

    A full mailbox or a server that is away is no reason.

    Args:
        event: the report.
        view: the provider's webhook view, which may have a rule of its own: see
            durable/mail/providers.
    """
    if event.event_type == EventType.COMPLAINED:
        return Suppression.Reason.COMPLAINT
    if event.event_type != EventType.BOUNCED:
        return None
    is_hard_bounce = getattr(view, "is_hard_bounce", is_bad_address)
    return Suppression.Reason.BOUNCE if is_hard_bounce(event) else None


def is_bad_address(event: AnymailTrackingEvent) -> bool:
    """Return whether Anymail's reason for a bounce is the address."""
    return event.reject_reason in {RejectReason.BOUNCED, RejectReason.INVALID}


def report_id(event: AnymailTrackingEvent, esp_name: str) -> str:
    """Return the same id for the same report, even if the provider gives it none."""
    time = event.timestamp.isoformat() if event.timestamp else ""
    parts = [esp_name, event.event_type, event.message_id, event.event_id or time]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def describe(event: AnymailTrackingEvent) -> str:
    """Return the provider's texts of a report, no longer than a screen."""
    texts = (event.reject_reason, event.description, event.mta_response)
    unique = dict.fromkeys(str(text) for text in texts if text)
    return clean_text(" ".join(unique))[:MAX_ERROR_LENGTH]
