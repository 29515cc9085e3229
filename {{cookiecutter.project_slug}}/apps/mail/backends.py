"""Anymail's backends of some providers, told which row a message belongs to.

Delivery is at least once. Where a provider recognises a request that it has had before, or lets the
sender name the message, the name is the row's id.
"""

from typing import Any
from uuid import UUID

from anymail.backends import brevo, mailersend, resend, sendgrid, unisender_go
from anymail.message import AnymailRecipientStatus
from django.core.mail import EmailMessage
from requests import Response


def row_id(message: EmailMessage) -> str | None:
    """Return the id of the row that a message was made from.

    None for mail that has no row, such as Django's reports to the admins.
    """
    name = str(message.extra_headers.get("Message-ID", "")).strip("<>").partition("@")[0]
    try:
        return str(UUID(name))
    except ValueError:
        return None


class BrevoBackend(brevo.EmailBackend):  # type: ignore[misc]
    """Brevo refuses a key that it has seen within 30 minutes, so that refusal is a success.

    https://developers.brevo.com/docs/heterogenous-versions-batch-emails
    """

    def build_message_payload(self, message: EmailMessage, defaults: Any) -> Any:
        payload = super().build_message_payload(message, defaults)
        if key := row_id(message):
            payload.data["headers"]["idempotencyKey"] = key
        return payload

    def raise_for_status(self, response: Response, payload: Any, message: EmailMessage) -> None:
        if not self.is_duplicate(response):
            super().raise_for_status(response, payload, message)

    def parse_recipient_status(
        self, response: Response, payload: Any, message: EmailMessage
    ) -> dict[str, AnymailRecipientStatus]:
        if self.is_duplicate(response):
            status = AnymailRecipientStatus(message_id=None, status="queued")
            return {recipient.addr_spec: status for recipient in payload.all_recipients}
        found: dict[str, AnymailRecipientStatus] = super().parse_recipient_status(
            response, payload, message
        )
        return found

    @staticmethod
    def is_duplicate(response: Response) -> bool:
        """Tell whether Brevo has had the request before."""
        return response.status_code == 400 and b"duplicate_parameter" in response.content  # noqa: PLR2004


class MailerSendBackend(mailersend.EmailBackend):  # type: ignore[misc]
    """MailerSend takes headers of one's own from enterprise accounts only, so none is sent.

    https://developers.mailersend.com/api/v1/email.html
    """

    def build_message_payload(self, message: EmailMessage, defaults: Any) -> Any:
        payload = super().build_message_payload(message, defaults)
        own = [
            header for header in payload.data.get("headers", ()) if header["name"] != "Message-ID"
        ]
        payload.data.pop("headers", None)
        if own:
            payload.data["headers"] = own
        return payload


class ResendBackend(resend.EmailBackend):  # type: ignore[misc]
    """Resend answers a key that it has seen within 24 hours as it did the first time.

    https://resend.com/docs/dashboard/emails/idempotency-keys
    """

    def build_message_payload(self, message: EmailMessage, defaults: Any) -> Any:
        payload = super().build_message_payload(message, defaults)
        if key := row_id(message):
            payload.headers["Idempotency-Key"] = key
        return payload


class NamedByRow:
    """A payload whose message carries the row's id where Anymail would draw a random one."""

    message: EmailMessage
    message_ids: Any

    def set_anymail_id(self) -> None:
        super().set_anymail_id()  # type: ignore[misc]
        if key := row_id(self.message):
            for part in self.named_parts():
                part["anymail_id"] = key
            for recipient in self.message_ids:
                self.message_ids[recipient] = key

    def named_parts(self) -> list[dict[str, Any]]:
        """Return the parts of the request that hold the id."""
        raise NotImplementedError


class SendGridPayload(NamedByRow, sendgrid.SendGridPayload):  # type: ignore[misc]
    def named_parts(self) -> list[dict[str, Any]]:
        return [part["custom_args"] for part in self.data["personalizations"]]


class SendGridBackend(sendgrid.EmailBackend):  # type: ignore[misc]
    """SendGrid returns the id that the sender gave with every report."""

    def build_message_payload(self, message: EmailMessage, defaults: Any) -> Any:
        return SendGridPayload(message, defaults, self)


class UnisenderGoPayload(NamedByRow, unisender_go.UnisenderGoPayload):  # type: ignore[misc]
    def named_parts(self) -> list[dict[str, Any]]:
        return [part["metadata"] for part in self.data["recipients"]]

    def serialize_data(self) -> Any:
        if key := row_id(self.message):
            self.data["idempotence_key"] = key
        return super().serialize_data()


class UnisenderGoBackend(unisender_go.EmailBackend):  # type: ignore[misc]
    """Unisender Go sends a key that it has seen within a minute only once, and returns the id.

    https://godocs.unisender.ru/web-api-ref#email-send
    """

    def build_message_payload(self, message: EmailMessage, defaults: Any) -> Any:
        return UnisenderGoPayload(message, defaults, self)
