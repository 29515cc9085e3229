"""Unisender Go."""

from typing import Any

from anymail.backends import unisender_go
from anymail.signals import AnymailTrackingEvent
from anymail.webhooks.unisender_go import UnisenderGoTrackingWebhookView
from django.core.mail import EmailMessage
from requests import Response

from durable.mail.providers.base import (
    DuplicateIsSuccess,
    RowIdAsMessageId,
    UnreadableSuccessIsTemporary,
    json_field,
    row_id,
)
from durable.mail.providers.webhooks import UnreadableReportIsRefused

DUPLICATE = 1573  # https://godocs.unisender.ru/api-errors
# https://godocs.unisender.ru/email-statuses
HARD_BOUNCES = {
    "err_mailbox_discarded",
    "err_unreachable",
    "err_user_inactive",
    "err_user_unknown",
}


class UnisenderGoPayload(RowIdAsMessageId, unisender_go.UnisenderGoPayload):  # type: ignore[misc]
    def parts_with_id(self) -> list[dict[str, Any]]:
        return [part["metadata"] for part in self.data["recipients"]]

    def serialize_data(self) -> Any:
        if key := row_id(self.message):
            self.data["idempotence_key"] = key
        return super().serialize_data()


class UnisenderGoBackend(
    DuplicateIsSuccess,
    UnreadableSuccessIsTemporary,
    unisender_go.EmailBackend,  # type: ignore[misc]
):
    """Unisender Go refuses a key that it has seen within a minute, and returns the sender's id.

    https://godocs.unisender.ru/web-api-ref#email-send
    """

    def build_message_payload(self, message: EmailMessage, defaults: Any) -> Any:
        return UnisenderGoPayload(message, defaults, self)

    @staticmethod
    def is_duplicate(response: Response) -> bool:
        return bool(json_field(response, "code") == DUPLICATE)


class UnisenderGoWebhookView(UnreadableReportIsRefused, UnisenderGoTrackingWebhookView):  # type: ignore[misc]
    """Anymail reports a full mailbox as it does a hard bounce."""

    @staticmethod
    def is_hard_bounce(event: AnymailTrackingEvent) -> bool:
        delivery = event.esp_event.get("delivery_info", {})
        return delivery.get("delivery_status") in HARD_BOUNCES
