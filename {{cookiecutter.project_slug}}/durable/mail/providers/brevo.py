"""Brevo."""

from http import HTTPStatus
from typing import Any

from anymail.backends import brevo
from anymail.signals import AnymailTrackingEvent
from anymail.webhooks.brevo import BrevoTrackingWebhookView
from django.core.mail import EmailMessage
from requests import Response

from durable.mail.providers.base import (
    AccountErrorIsTemporary,
    DuplicateIsSuccess,
    json_field,
    row_id,
)
from durable.mail.providers.webhooks import UnreadableReportIsRefused


class BrevoBackend(DuplicateIsSuccess, AccountErrorIsTemporary, brevo.EmailBackend):  # type: ignore[misc]
    """Brevo refuses a key that it has seen within 30 minutes.

    https://developers.brevo.com/docs/heterogenous-versions-batch-emails
    """

    @staticmethod
    def account_error(response: Response) -> str:
        """Return that the account may not send, or an empty string."""
        denied = json_field(response, "code") == "permission_denied"
        return "the account may not send (permission_denied)" if denied else ""

    @staticmethod
    def is_duplicate(response: Response) -> bool:
        code = json_field(response, "code")
        return response.status_code == HTTPStatus.BAD_REQUEST and code == "duplicate_parameter"

    def build_message_payload(self, message: EmailMessage, defaults: Any) -> Any:
        payload = super().build_message_payload(message, defaults)
        if key := row_id(message):
            payload.data["headers"]["idempotencyKey"] = key
        return payload


class BrevoWebhookView(UnreadableReportIsRefused, BrevoTrackingWebhookView):  # type: ignore[misc]
    """Anymail reports a soft bounce as it does a hard one."""

    @staticmethod
    def is_hard_bounce(event: AnymailTrackingEvent) -> bool:
        return bool(event.esp_event["event"] == "hard_bounce")
