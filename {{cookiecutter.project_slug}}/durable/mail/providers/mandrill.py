"""Mandrill."""

from typing import Any, ClassVar

from anymail.backends import mandrill
from anymail.exceptions import AnymailAPIError, AnymailRecipientsRefused
from anymail.message import AnymailRecipientStatus
from anymail.signals import AnymailTrackingEvent, EventType, RejectReason
from anymail.webhooks.mandrill import MandrillCombinedWebhookView
from django.core.mail import EmailMessage
from requests import Response

from durable.mail.providers.base import UnreadableSuccessIsTemporary, json_field, temporary_error
from durable.mail.providers.webhooks import UnreadableReportIsRefused


class MandrillBackend(UnreadableSuccessIsTemporary, mandrill.EmailBackend):  # type: ignore[misc]
    """Mandrill responds to every error with HTTP 500, and names the error in the content.

    Of its names only this one is an error of the mail; the others are errors of the account.
    https://mailchimp.com/developer/transactional/api/messages/send-new-message/
    """

    def raise_for_status(self, response: Response, payload: Any, message: EmailMessage) -> None:
        try:
            super().raise_for_status(response, payload, message)
        except AnymailAPIError as error:
            if json_field(response, "name") == "ValidationError":
                raise AnymailRecipientsRefused(str(error), email_message=message) from error
            raise

    def parse_recipient_status(
        self, response: Response, payload: Any, message: EmailMessage
    ) -> dict[str, AnymailRecipientStatus]:
        found = super().parse_recipient_status(response, payload, message)
        if not found:  # Anymail would raise that all recipients, of none, were refused
            reason = "Mandrill's response names no recipient."
            raise temporary_error(self, reason, payload, message)
        return found


class MandrillWebhookView(UnreadableReportIsRefused, MandrillCombinedWebhookView):  # type: ignore[misc]
    """Anymail knows neither Mandrill's report of a delivery nor its reason for a bounce.

    https://mailchimp.com/developer/transactional/api/webhooks/
    """

    event_types: ClassVar = {
        **MandrillCombinedWebhookView.event_types,
        "delivered": EventType.DELIVERED,
    }

    @staticmethod
    def is_hard_bounce(event: AnymailTrackingEvent) -> bool:
        return bool(event.esp_event["event"] == "hard_bounce")

    def mandrill_tracking_to_anymail_event(self, esp_event: Any) -> AnymailTrackingEvent:
        event = super().mandrill_tracking_to_anymail_event(esp_event)
        if event.event_type == EventType.BOUNCED:
            event.reject_reason = RejectReason.BOUNCED
        return event
