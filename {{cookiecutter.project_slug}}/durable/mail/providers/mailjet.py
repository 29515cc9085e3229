"""Mailjet."""

from typing import Any

from anymail.backends import mailjet
from anymail.signals import AnymailTrackingEvent
from anymail.webhooks.mailjet import MailjetTrackingWebhookView
from django.core.mail import EmailMessage
from requests import Response

from durable.mail.providers.webhooks import UnreadableReportIsRefused


class MailjetBackend(mailjet.EmailBackend):  # type: ignore[misc]
    """Mailjet refuses a message with a custom Message-ID, so none is sent.

    https://github.com/symfony/symfony/issues/44000
    """

    def build_message_payload(self, message: EmailMessage, defaults: Any) -> Any:
        payload = super().build_message_payload(message, defaults)
        custom = payload.data["Globals"].pop("Headers", {})
        custom.pop("Message-ID", None)
        if custom:
            payload.data["Globals"]["Headers"] = custom
        return payload

    def raise_for_status(self, response: Response, payload: Any, message: EmailMessage) -> None:
        # Anymail reads the messages of a response with 4xx, and drops Mailjet's reason. Here a request
        # has one message.
        super(mailjet.EmailBackend, self).raise_for_status(response, payload, message)


class MailjetWebhookView(UnreadableReportIsRefused, MailjetTrackingWebhookView):  # type: ignore[misc]
    """Anymail reports a soft bounce as it does a hard one."""

    @staticmethod
    def is_hard_bounce(event: AnymailTrackingEvent) -> bool:
        return bool(event.esp_event.get("hard_bounce"))
