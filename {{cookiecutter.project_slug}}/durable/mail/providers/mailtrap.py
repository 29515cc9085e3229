"""Mailtrap."""

from typing import Any

from anymail.backends import mailtrap
from anymail.signals import AnymailTrackingEvent
from anymail.webhooks.mailtrap import MailtrapTrackingWebhookView
from django.core.mail import EmailMessage

from durable.mail.providers.base import UnreadableSuccessIsTemporary
from durable.mail.providers.webhooks import UnreadableReportIsRefused

BAD_RECIPIENT = "badrecipient"


class MailtrapBackend(UnreadableSuccessIsTemporary, mailtrap.EmailBackend):  # type: ignore[misc]
    """Mailtrap reserves some headers without naming them; its own clients send no Message-ID.

    https://docs.mailtrap.io/developers/email-sending/transactional
    """

    def build_message_payload(self, message: EmailMessage, defaults: Any) -> Any:
        payload = super().build_message_payload(message, defaults)
        payload.data.get("headers", {}).pop("Message-ID", None)
        return payload


class MailtrapWebhookView(UnreadableReportIsRefused, MailtrapTrackingWebhookView):  # type: ignore[misc]
    """Anymail reports a full mailbox as it does a hard bounce."""

    @staticmethod
    def is_hard_bounce(event: AnymailTrackingEvent) -> bool:
        return bool(event.esp_event.get("bounce_category", BAD_RECIPIENT) == BAD_RECIPIENT)
