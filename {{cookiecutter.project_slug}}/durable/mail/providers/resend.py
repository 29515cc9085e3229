"""Resend."""

from typing import Any

from anymail.backends import resend
from anymail.signals import AnymailTrackingEvent
from anymail.webhooks.resend import ResendTrackingWebhookView
from django.core.mail import EmailMessage
from requests import Response

from durable.mail.providers.base import (
    AccountErrorIsTemporary,
    DuplicateIsSuccess,
    json_field,
    row_id,
)
from durable.mail.providers.webhooks import UnreadableReportIsRefused

# The first means that another request with the key is not done yet; the second is the service's key.
TEMPORARY_ERRORS = {"concurrent_idempotent_requests", "invalid_api_key"}


class ResendBackend(DuplicateIsSuccess, AccountErrorIsTemporary, resend.EmailBackend):  # type: ignore[misc]
    """Resend repeats its response to a key that it has seen within 24 hours.

    It refuses the key if the content has changed since, as a new version of a template does, and
    as long as the first request is not done.
    https://resend.com/docs/dashboard/emails/idempotency-keys
    """

    @staticmethod
    def account_error(response: Response) -> str:
        """Return Resend's name of an error that is not the mail's, or an empty string."""
        name = str(json_field(response, "name"))
        return name if name in TEMPORARY_ERRORS else ""

    @staticmethod
    def is_duplicate(response: Response) -> bool:
        return bool(json_field(response, "name") == "invalid_idempotent_request")

    def build_message_payload(self, message: EmailMessage, defaults: Any) -> Any:
        payload = super().build_message_payload(message, defaults)
        if key := row_id(message):
            payload.headers["Idempotency-Key"] = key
        return payload


class ResendWebhookView(UnreadableReportIsRefused, ResendTrackingWebhookView):  # type: ignore[misc]
    """Anymail reports a soft bounce as it does a hard one."""

    reports_first_recipient = True

    @staticmethod
    def is_hard_bounce(event: AnymailTrackingEvent) -> bool:
        return bool(event.esp_event["data"]["bounce"].get("type", "Permanent") == "Permanent")
