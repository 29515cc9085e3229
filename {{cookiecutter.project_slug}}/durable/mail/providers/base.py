"""What the providers' backends share.

Delivery is at least once. Where a provider recognizes a repeated request, or lets the sender name the
message, the name is the row's id.
"""

from abc import abstractmethod
from typing import Any
from uuid import UUID

from anymail.exceptions import AnymailAPIError
from anymail.message import AnymailRecipientStatus
from django.core.mail import EmailMessage
from requests import Response


def row_id(message: EmailMessage) -> str | None:
    """Return the id of the row that a message was made from.

    None for mail without a row, such as Django's reports to the admins.
    """
    name = str(message.extra_headers.get("Message-ID", "")).strip("<>").partition("@")[0]
    try:
        return str(UUID(name))
    except ValueError:
        return None


def json_field(response: Response, field: str) -> Any:
    """Return a field of a response's JSON object, or None."""
    try:
        return response.json()[field]
    except (KeyError, TypeError, ValueError):
        return None


def temporary_error(
    backend: Any, reason: str, payload: Any, message: EmailMessage
) -> AnymailAPIError:
    """Return an error without the response, whose status would mean that the mail is refused."""
    return AnymailAPIError(reason, email_message=message, payload=payload, backend=backend)


def unreadable_response(
    backend: Any, response: Response, payload: Any, message: EmailMessage
) -> AnymailAPIError:
    """Return the error for a success that cannot be read: raise it from the cause."""
    return AnymailAPIError(
        "The provider's response is unreadable.",
        email_message=message,
        payload=payload,
        response=response,
        backend=backend,
    )


class AccountErrorIsTemporary:
    """A backend whose provider responds to an error of the account as if it refused the mail.

    Such a mail waits until the account is in order.
    """

    esp_name: str

    def raise_for_status(self, response: Response, payload: Any, message: EmailMessage) -> None:
        if error := self.account_error(response):
            reason = f"{self.esp_name} responds {response.status_code}: {error}."
            raise temporary_error(self, reason, payload, message)
        super().raise_for_status(response, payload, message)  # type: ignore[misc]

    @staticmethod
    @abstractmethod
    def account_error(response: Response) -> str:
        """Return what is wrong with the account, or an empty string."""


class DuplicateIsSuccess:
    """A backend whose provider refuses a message that it has accepted before."""

    def raise_for_status(self, response: Response, payload: Any, message: EmailMessage) -> None:
        if not self.is_duplicate(response):
            super().raise_for_status(response, payload, message)  # type: ignore[misc]

    def parse_recipient_status(
        self, response: Response, payload: Any, message: EmailMessage
    ) -> dict[str, AnymailRecipientStatus]:
        if self.is_duplicate(response):
            ids = getattr(payload, "message_ids", {}).values()  # given by the sender
            status = AnymailRecipientStatus(message_id=next(iter(ids), None), status="queued")
            return dict.fromkeys(message.recipients(), status)
        found: dict[str, AnymailRecipientStatus] = super().parse_recipient_status(  # type: ignore[misc]
            response, payload, message
        )
        return found

    @staticmethod
    @abstractmethod
    def is_duplicate(response: Response) -> bool:
        """Return whether the provider has accepted the message before."""


class UnreadableSuccessIsTemporary:
    """A backend for which a success that cannot be read is a temporary error.

    Anymail raises what looks like a refusal or a bug.
    """

    def parse_recipient_status(
        self, response: Response, payload: Any, message: EmailMessage
    ) -> dict[str, AnymailRecipientStatus]:
        try:
            found: dict[str, AnymailRecipientStatus] = super().parse_recipient_status(  # type: ignore[misc]
                response, payload, message
            )
        except (AnymailAPIError, AttributeError, KeyError, TypeError) as error:
            raise unreadable_response(self, response, payload, message) from error
        return found


class RowIdAsMessageId:
    """A payload whose message carries the row's id where Anymail would draw a random one."""

    message: EmailMessage
    message_ids: Any

    def set_anymail_id(self) -> None:
        super().set_anymail_id()  # type: ignore[misc]
        if key := row_id(self.message):
            for part in self.parts_with_id():
                part["anymail_id"] = key
            for recipient in self.message_ids:
                self.message_ids[recipient] = key

    @abstractmethod
    def parts_with_id(self) -> list[dict[str, Any]]:
        """Return the parts of the request that hold the id."""
