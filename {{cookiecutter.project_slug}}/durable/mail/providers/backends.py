"""Anymail's backends of some providers, told which row a message belongs to.

Delivery is at least once. Where a provider recognises a request that it has had before, or lets the
sender name the message, the name is the row's id.
"""

from abc import abstractmethod
from typing import Any
from uuid import UUID

from anymail.backends import (
    brevo,
    mailersend,
    mailjet,
    mailtrap,
    mandrill,
    postal,
    postmark,
    resend,
    scaleway,
    sendgrid,
    sparkpost,
    unisender_go,
)
from anymail.exceptions import AnymailAPIError, AnymailRecipientsRefused
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


def stated(response: Response, field: str) -> Any:
    """Return what the provider's answer has in `field`, or None."""
    try:
        return response.json()[field]
    except (KeyError, TypeError, ValueError):
        return None


def senseless(
    backend: Any, response: Response, payload: Any, message: EmailMessage
) -> AnymailAPIError:
    """Return the error for a success that cannot be read, to be raised from what was wrong."""
    return AnymailAPIError(
        "The provider's answer makes no sense.",
        email_message=message,
        payload=payload,
        response=response,
        backend=backend,
    )


class TellsAccountFaults:
    """A backend whose provider answers as if it refused the mail, where the fault is the account's.

    Such a mail waits until that is mended, or a limit no longer used up.
    """

    esp_name: str

    def raise_for_status(self, response: Response, payload: Any, message: EmailMessage) -> None:
        if fault := self.account_fault(response):
            # Without the answer, whose status would say that the mail is refused for good.
            raise AnymailAPIError(
                f"{self.esp_name} answers {response.status_code}: {fault}.",
                email_message=message,
                payload=payload,
                backend=self,
            )
        super().raise_for_status(response, payload, message)  # type: ignore[misc]

    @staticmethod
    @abstractmethod
    def account_fault(response: Response) -> str:
        """Return what is wrong with the account, or an empty string."""


class TakesDuplicates:
    """A backend whose provider refuses a message that it has had already: that is a success."""

    def raise_for_status(self, response: Response, payload: Any, message: EmailMessage) -> None:
        if not self.is_duplicate(response):
            super().raise_for_status(response, payload, message)  # type: ignore[misc]

    def parse_recipient_status(
        self, response: Response, payload: Any, message: EmailMessage
    ) -> dict[str, AnymailRecipientStatus]:
        if self.is_duplicate(response):
            named = getattr(payload, "message_ids", {}).values()  # by the sender
            status = AnymailRecipientStatus(message_id=next(iter(named), None), status="queued")
            return dict.fromkeys(message.recipients(), status)
        found: dict[str, AnymailRecipientStatus] = super().parse_recipient_status(  # type: ignore[misc]
            response, payload, message
        )
        return found

    @staticmethod
    @abstractmethod
    def is_duplicate(response: Response) -> bool:
        """Tell whether the provider has had the message before."""


class DoubtsAnswers:
    """A backend for which a success that cannot be read is an error that may pass.

    Anymail's own raises what looks like a refusal or a mistake in the code.
    """

    def parse_recipient_status(
        self, response: Response, payload: Any, message: EmailMessage
    ) -> dict[str, AnymailRecipientStatus]:
        try:
            found: dict[str, AnymailRecipientStatus] = super().parse_recipient_status(  # type: ignore[misc]
                response, payload, message
            )
        except (AnymailAPIError, AttributeError, KeyError, TypeError) as error:
            raise senseless(self, response, payload, message) from error
        return found


class BrevoBackend(TakesDuplicates, TellsAccountFaults, brevo.EmailBackend):  # type: ignore[misc]
    """Brevo refuses a key that it has seen within 30 minutes, so that refusal is a success.

    https://developers.brevo.com/docs/heterogenous-versions-batch-emails
    """

    @staticmethod
    def account_fault(response: Response) -> str:
        """Return that the account may not send, if it is so."""
        denied = stated(response, "code") == "permission_denied"
        return "the account may not send (permission_denied)" if denied else ""

    def build_message_payload(self, message: EmailMessage, defaults: Any) -> Any:
        payload = super().build_message_payload(message, defaults)
        if key := row_id(message):
            payload.data["headers"]["idempotencyKey"] = key
        return payload

    @staticmethod
    def is_duplicate(response: Response) -> bool:
        code = stated(response, "code")
        return response.status_code == 400 and code == "duplicate_parameter"  # noqa: PLR2004


class MailerSendBackend(DoubtsAnswers, mailersend.EmailBackend):  # type: ignore[misc]
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

    def parse_recipient_status(
        self, response: Response, payload: Any, message: EmailMessage
    ) -> dict[str, AnymailRecipientStatus]:
        found = super().parse_recipient_status(response, payload, message)
        # MailerSend names the message or says who is suppressed. Where there is neither, somebody
        # else has answered, and Anymail takes that for a refusal.
        if {recipient.status for recipient in found.values()} == {"failed"}:
            raise AnymailAPIError(
                "MailerSend's answer names no message and no reason.",
                email_message=message,
                payload=payload,
                backend=self,
            )
        return found


class MailjetBackend(mailjet.EmailBackend):  # type: ignore[misc]
    """Mailjet refuses a message that brings a Message-ID of its own, so none is sent.

    https://github.com/symfony/symfony/issues/44000
    """

    def build_message_payload(self, message: EmailMessage, defaults: Any) -> Any:
        payload = super().build_message_payload(message, defaults)
        own = payload.data["Globals"].pop("Headers", {})
        own.pop("Message-ID", None)
        if own:
            payload.data["Globals"]["Headers"] = own
        return payload

    def raise_for_status(self, response: Response, payload: Any, message: EmailMessage) -> None:
        # Anymail's own lets 4xx pass, which may mean some messages of many, and Mailjet's reason
        # is lost. Here a request has one message.
        super(mailjet.EmailBackend, self).raise_for_status(response, payload, message)


class MailtrapBackend(DoubtsAnswers, mailtrap.EmailBackend):  # type: ignore[misc]
    """Mailtrap reserves some headers without saying which; its own clients send no Message-ID.

    https://docs.mailtrap.io/developers/email-sending/transactional
    """

    def build_message_payload(self, message: EmailMessage, defaults: Any) -> Any:
        payload = super().build_message_payload(message, defaults)
        payload.data.get("headers", {}).pop("Message-ID", None)
        return payload


class MandrillBackend(DoubtsAnswers, mandrill.EmailBackend):  # type: ignore[misc]
    """Mandrill answers with HTTP 500 whatever is wrong, and tells in the content what it is.

    Of its names for errors only this one is about the mail; the others are about the account.
    https://mailchimp.com/developer/transactional/api/messages/send-new-message/
    """

    def raise_for_status(self, response: Response, payload: Any, message: EmailMessage) -> None:
        try:
            super().raise_for_status(response, payload, message)
        except AnymailAPIError as error:
            if stated(response, "name") == "ValidationError":
                raise AnymailRecipientsRefused(str(error), email_message=message) from error
            raise

    def parse_recipient_status(
        self, response: Response, payload: Any, message: EmailMessage
    ) -> dict[str, AnymailRecipientStatus]:
        found = super().parse_recipient_status(response, payload, message)
        if not found:  # Anymail would say that all recipients, of none, were refused
            raise AnymailAPIError(
                "Mandrill's answer names no recipient.",
                email_message=message,
                payload=payload,
                backend=self,
            )
        return found


class PostalBackend(postal.EmailBackend):  # type: ignore[misc]
    """Postal's answers all have the status 200; what is in them tells what came of the mail.

    https://docs.postalserver.io/developer/api
    """

    OWN_FAULTS = {"AccessDenied", "InvalidServerAPIKey", "ServerSuspended"}

    def parse_recipient_status(
        self, response: Response, payload: Any, message: EmailMessage
    ) -> dict[str, AnymailRecipientStatus]:
        answer = self.deserialize_json_response(response, payload, message)
        try:
            if answer["status"] == "error" and answer["data"]["code"] in self.OWN_FAULTS:
                # Of the service's key, not of the mail. Without the answer, whose status is a
                # success and whose text repeats the key.
                raise AnymailAPIError(
                    f"Postal does not let the service in: {answer['data']['code']}.",
                    email_message=message,
                    payload=payload,
                    backend=self,
                )
            found: dict[str, AnymailRecipientStatus] = super().parse_recipient_status(
                response, payload, message
            )
        except (AttributeError, KeyError, TypeError) as error:
            raise senseless(self, response, payload, message) from error
        return found


class PostmarkBackend(TellsAccountFaults, postmark.EmailBackend):  # type: ignore[misc]
    """Postmark answers 422 to whatever is wrong, and tells in the content what it is.

    https://postmarkapp.com/developer/api/overview#error-codes
    """

    OWN_FAULTS = {
        "100": "maintenance",
        "405": "the account may not send, or has no credit left",
        "412": "the account waits for its approval",
        "413": "the account may not send",
    }

    @classmethod
    def account_fault(cls, response: Response) -> str:
        """Return what is wrong with the account, with Postmark's number of the error."""
        code = str(stated(response, "ErrorCode"))
        fault = cls.OWN_FAULTS.get(code)
        return f"{fault} (error {code})" if fault else ""


class ResendBackend(TakesDuplicates, TellsAccountFaults, resend.EmailBackend):  # type: ignore[misc]
    """Resend answers a key that it has seen within 24 hours as it did the first time.

    It refuses the key if the content has changed since, as a new version of a template does, and
    as long as the first request is not done.
    https://resend.com/docs/dashboard/emails/idempotency-keys
    """

    # The first is no fault of the mail's, the second one of the service's key.
    PASSING = {"concurrent_idempotent_requests", "invalid_api_key"}

    @classmethod
    def account_fault(cls, response: Response) -> str:
        """Return Resend's name of an error that is not the mail's."""
        name = str(stated(response, "name"))
        return name if name in cls.PASSING else ""

    @staticmethod
    def is_duplicate(response: Response) -> bool:
        return bool(stated(response, "name") == "invalid_idempotent_request")

    def build_message_payload(self, message: EmailMessage, defaults: Any) -> Any:
        payload = super().build_message_payload(message, defaults)
        if key := row_id(message):
            payload.headers["Idempotency-Key"] = key
        return payload


class ScalewayBackend(TellsAccountFaults, DoubtsAnswers, scaleway.EmailBackend):  # type: ignore[misc]
    """Anymail's own takes an answer that is not Scaleway's for a refusal.

    A quota of the account that is used up is a 403 (https://github.com/scaleway/scaleway-sdk-js).
    """

    @staticmethod
    def account_fault(response: Response) -> str:
        """Return that a quota is used up, if it is."""
        exceeded = stated(response, "type") == "quotas_exceeded"
        return "a quota of the account is used up" if exceeded else ""


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

    @abstractmethod
    def named_parts(self) -> list[dict[str, Any]]:
        """Return the parts of the request that hold the id."""


class SendGridPayload(NamedByRow, sendgrid.SendGridPayload):  # type: ignore[misc]
    def named_parts(self) -> list[dict[str, Any]]:
        return [part["custom_args"] for part in self.data["personalizations"]]

    def set_anymail_id(self) -> None:
        super().set_anymail_id()
        if key := row_id(self.message):
            # Anymail looks for an address as it was written, also where it is sent in another form.
            self.message_ids |= {each.addr_spec: key for each in self.all_recipients}


class SendGridBackend(sendgrid.EmailBackend):  # type: ignore[misc]
    """SendGrid returns the id that the sender gave with every report."""

    def build_message_payload(self, message: EmailMessage, defaults: Any) -> Any:
        return SendGridPayload(message, defaults, self)


class SparkPostBackend(TellsAccountFaults, sparkpost.EmailBackend):  # type: ignore[misc]
    """SparkPost answers 420 while a sending limit of the account is used up, which passes.

    https://developers.sparkpost.com/api/transmissions/#header-sending-limits
    """

    @staticmethod
    def account_fault(response: Response) -> str:
        """Return that a limit is used up, if it is."""
        used_up = response.status_code == 420  # noqa: PLR2004
        return "a sending limit of the account is used up" if used_up else ""


DUPLICATE = 1573  # https://godocs.unisender.ru/api-errors


class UnisenderGoPayload(NamedByRow, unisender_go.UnisenderGoPayload):  # type: ignore[misc]
    def named_parts(self) -> list[dict[str, Any]]:
        return [part["metadata"] for part in self.data["recipients"]]

    def serialize_data(self) -> Any:
        if key := row_id(self.message):
            self.data["idempotence_key"] = key
        return super().serialize_data()


class UnisenderGoBackend(TakesDuplicates, DoubtsAnswers, unisender_go.EmailBackend):  # type: ignore[misc]
    """Unisender Go refuses a key that it has seen within a minute, and returns the sender's id.

    https://godocs.unisender.ru/web-api-ref#email-send
    """

    def build_message_payload(self, message: EmailMessage, defaults: Any) -> Any:
        return UnisenderGoPayload(message, defaults, self)

    @staticmethod
    def is_duplicate(response: Response) -> bool:
        return bool(stated(response, "code") == DUPLICATE)
