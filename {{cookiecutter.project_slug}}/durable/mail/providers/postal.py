"""Postal."""

from typing import Any

from anymail.backends import postal
from anymail.message import AnymailRecipientStatus
from anymail.webhooks.postal import PostalTrackingWebhookView
from django.core.mail import EmailMessage
from requests import Response

from durable.mail.providers.base import temporary_error, unreadable_response
from durable.mail.providers.webhooks import UnreadableReportIsRefused

ACCOUNT_ERRORS = {"AccessDenied", "InvalidServerAPIKey", "ServerSuspended"}


class PostalBackend(postal.EmailBackend):  # type: ignore[misc]
    """Postal responds to everything with the status 200; the content has the outcome.

    https://docs.postalserver.io/developer/api
    """

    def parse_recipient_status(
        self, response: Response, payload: Any, message: EmailMessage
    ) -> dict[str, AnymailRecipientStatus]:
        answer = self.deserialize_json_response(response, payload, message)
        try:
            if answer["status"] == "error" and answer["data"]["code"] in ACCOUNT_ERRORS:
                # The response's text would repeat the key.
                reason = f"Postal refuses the service: {answer['data']['code']}."
                raise temporary_error(self, reason, payload, message)
            found: dict[str, AnymailRecipientStatus] = super().parse_recipient_status(
                response, payload, message
            )
        except (AttributeError, KeyError, TypeError) as error:
            raise unreadable_response(self, response, payload, message) from error
        return found


class PostalWebhookView(UnreadableReportIsRefused, PostalTrackingWebhookView):  # type: ignore[misc]
    """Anymail's view."""
