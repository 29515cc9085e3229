"""Anymail's webhook views of some providers, told what these report today."""

import hmac
import json
from typing import Any, ClassVar

from anymail.exceptions import AnymailWebhookValidationFailure
from anymail.signals import AnymailTrackingEvent, EventType, RejectReason
from anymail.webhooks import mailersend, mandrill
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare
from django.utils.dateparse import parse_datetime


class MailerSendWebhookView(mailersend.MailerSendTrackingWebhookView):  # type: ignore[misc]
    """Anymail 15.2 reads MailerSend's webhooks 1.0, which end on 2026-12-01; all new ones are 2.0.

    This can go once a release has https://github.com/anymail/django-anymail/pull/490, provided
    that it takes the test call.
    https://developers.mailersend.com/api/v1/account/webhooks
    """

    # Signs the test call that must succeed before a webhook is saved. It is the same for everybody.
    TEST_SECRET = b"test_Am3L1GuOIc4blLUuHqAPxxwkZaJyEk8G"

    event_types: ClassVar = {
        **mailersend.MailerSendTrackingWebhookView.event_types,
        "deferred": EventType.DEFERRED,
        "spam_complaints": EventType.COMPLAINED,
        "suppressed": EventType.REJECTED,
    }
    reject_reasons: ClassVar = {
        "hard_bounced": RejectReason.BOUNCED,
        "soft_bounced": RejectReason.BOUNCED,
        "spam_complaint": RejectReason.SPAM,
        "spam_complaints": RejectReason.SPAM,
        "suppressed": RejectReason.BLOCKED,
    }

    def run_validators(self, request: HttpRequest) -> None:
        try:
            super().run_validators(request)
        except AnymailWebhookValidationFailure:
            if not self.is_test_call(request):
                raise

    def is_test_call(self, request: HttpRequest) -> bool:
        """Tell whether the request is MailerSend's test call; its secret is good for nothing else."""
        signature = hmac.digest(self.TEST_SECRET, request.body, "sha256").hex()
        if not constant_time_compare(request.headers.get("Signature", ""), signature):
            return False
        try:
            return bool(json.loads(request.body)["type"] == "webhook.test")
        except (KeyError, TypeError, ValueError):
            return False

    def parse_events(self, request: HttpRequest) -> list[AnymailTrackingEvent]:
        if json.loads(request.body).get("type") == "webhook.test":
            return []
        events: list[AnymailTrackingEvent] = super().parse_events(request)
        return events

    def esp_to_anymail_event(self, esp_event: Any) -> AnymailTrackingEvent:
        said = esp_event["data"]
        if "message_id" not in said:  # 1.0
            return super().esp_to_anymail_event(esp_event)
        meta = said.get("meta") or {}  # where there is nothing to say, an empty list
        return AnymailTrackingEvent(
            event_type=self.event_types.get(said["type"], EventType.UNKNOWN),
            timestamp=parse_datetime(esp_event["created_at"]),
            message_id=said["message_id"],
            event_id=said["id"],
            recipient=said.get("recipient"),
            reject_reason=self.reject_reasons.get(said["type"]),
            description=meta.get("bounce_reason") or meta.get("suppression_reason"),
            mta_response=meta.get("bounce_code"),
            esp_event=esp_event,
        )


class MandrillWebhookView(mandrill.MandrillCombinedWebhookView):  # type: ignore[misc]
    """Anymail knows neither Mandrill's report of a delivery nor its reason for a bounce.

    https://mailchimp.com/developer/transactional/api/webhooks/
    """

    event_types: ClassVar = {
        **mandrill.MandrillCombinedWebhookView.event_types,
        "delivered": EventType.DELIVERED,
    }

    def mandrill_tracking_to_anymail_event(self, esp_event: Any) -> AnymailTrackingEvent:
        event = super().mandrill_tracking_to_anymail_event(esp_event)
        if event.event_type == EventType.BOUNCED:
            event.reject_reason = RejectReason.BOUNCED
        return event
