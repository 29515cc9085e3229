"""SendGrid."""

from typing import Any

from anymail.backends import sendgrid
from anymail.signals import AnymailTrackingEvent
from anymail.webhooks.sendgrid import SendGridTrackingWebhookView
from django.core.mail import EmailMessage

from durable.mail.providers.base import RowIdAsMessageId, row_id
from durable.mail.providers.webhooks import UnreadableReportIsRefused


class SendGridPayload(RowIdAsMessageId, sendgrid.SendGridPayload):  # type: ignore[misc]
    def parts_with_id(self) -> list[dict[str, Any]]:
        return [part["custom_args"] for part in self.data["personalizations"]]

    def set_anymail_id(self) -> None:
        super().set_anymail_id()
        if key := row_id(self.message):
            # Anymail looks up an address as it was given, even if it is sent in another form.
            self.message_ids |= {each.addr_spec: key for each in self.all_recipients}


class SendGridBackend(sendgrid.EmailBackend):  # type: ignore[misc]
    """SendGrid returns the sender's id with every report."""

    def build_message_payload(self, message: EmailMessage, defaults: Any) -> Any:
        return SendGridPayload(message, defaults, self)


class SendGridWebhookView(UnreadableReportIsRefused, SendGridTrackingWebhookView):  # type: ignore[misc]
    """Anymail reports a blocked message as it does a hard bounce."""

    @staticmethod
    def is_hard_bounce(event: AnymailTrackingEvent) -> bool:
        return bool(event.esp_event.get("type") == "bounce")
