"""MailerSend."""

import hmac
import json
from typing import Any, ClassVar

from anymail.backends import mailersend
from anymail.exceptions import AnymailWebhookValidationFailure
from anymail.message import AnymailRecipientStatus
from anymail.signals import AnymailTrackingEvent, EventType, RejectReason
from anymail.webhooks.mailersend import MailerSendTrackingWebhookView
from django.core.mail import EmailMessage
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare
from django.utils.dateparse import parse_datetime
from requests import Response

from durable.mail.providers.base import UnreadableSuccessIsTemporary, temporary_error
from durable.mail.providers.webhooks import UnreadableReportIsRefused


class MailerSendBackend(UnreadableSuccessIsTemporary, mailersend.EmailBackend):  # type: ignore[misc]
    """MailerSend accepts custom headers from enterprise accounts only, so no Message-ID is sent.

    https://developers.mailersend.com/api/v1/email.html
    """

    def build_message_payload(self, message: EmailMessage, defaults: Any) -> Any:
        payload = super().build_message_payload(message, defaults)
        headers = payload.data.pop("headers", ())
        custom = [header for header in headers if header["name"] != "Message-ID"]
        if custom:
            payload.data["headers"] = custom
        return payload

    def parse_recipient_status(
        self, response: Response, payload: Any, message: EmailMessage
    ) -> dict[str, AnymailRecipientStatus]:
        found = super().parse_recipient_status(response, payload, message)
        # MailerSend names the message, or the suppressed recipients. A response with neither is not
        # MailerSend's, and Anymail takes it for a refusal.
        if {recipient.status for recipient in found.values()} == {"failed"}:
            reason = "MailerSend's response has no message id and no reason."
            raise temporary_error(self, reason, payload, message)
        return found


class MailerSendWebhookView(UnreadableReportIsRefused, MailerSendTrackingWebhookView):  # type: ignore[misc]
    """Anymail 15.2 reads MailerSend's webhooks 1.0, which end on 2026-12-01; all new ones are 2.0.

    Only `is_hard_bounce` remains once a release of Anymail has
    https://github.com/anymail/django-anymail/pull/490, provided that it accepts the test call.
    https://developers.mailersend.com/api/v1/account/webhooks
    """

    # Signs the test call that must succeed before a webhook is saved. All accounts share it.
    TEST_SECRET = b"test_Am3L1GuOIc4blLUuHqAPxxwkZaJyEk8G"

    event_types: ClassVar = {
        **MailerSendTrackingWebhookView.event_types,
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

    @staticmethod
    def is_hard_bounce(event: AnymailTrackingEvent) -> bool:
        return bool(event.esp_event["data"]["type"] == "hard_bounced")

    def run_validators(self, request: HttpRequest) -> None:
        try:
            super().run_validators(request)
        except AnymailWebhookValidationFailure:
            if not self.is_test_call(request):
                raise

    def is_test_call(self, request: HttpRequest) -> bool:
        """Return whether the request is MailerSend's test call, the only one its test secret signs."""
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
        raw = esp_event["data"]
        if "message_id" not in raw:  # 1.0
            return super().esp_to_anymail_event(esp_event)
        meta = raw.get("meta") or {}  # MailerSend sends an empty list for none
        return AnymailTrackingEvent(
            event_type=self.event_types.get(raw["type"], EventType.UNKNOWN),
            timestamp=parse_datetime(esp_event["created_at"]),
            message_id=raw["message_id"],
            event_id=raw["id"],
            recipient=raw.get("recipient"),
            reject_reason=self.reject_reasons.get(raw["type"]),
            description=meta.get("bounce_reason") or meta.get("suppression_reason"),
            mta_response=meta.get("bounce_code"),
            esp_event=esp_event,
        )
