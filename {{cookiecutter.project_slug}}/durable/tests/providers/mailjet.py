"""Mailjet's wire format: https://dev.mailjet.com/email/reference/send-emails."""

import base64
import json
from typing import Any

from werkzeug import Request, Response

from durable.tests.providers import RECIPIENT, Mail, Provider, Report

API_KEY = "8c1f0d52a7e94b3690d4e6b1f7a25c38"
SECRET_KEY = "57be90d3416f4c8fa2d10c9b6e83f7a4"
SECRET = "mailjet:sesame"
MESSAGE_ID = "1152921531826433108"


def read(request: Request) -> Mail:
    assert (request.method, request.path) == ("POST", "/send")
    assert request.headers["Authorization"] == basic(f"{API_KEY}:{SECRET_KEY}")
    sent = json.loads(request.data)
    (message,) = sent["Messages"]
    (to,) = message["To"]
    message = {**sent["Globals"], **message}
    # Mailjet answers the request with the error send-0011 otherwise.
    assert "message-id" not in {name.lower() for name in message.get("Headers", {})}
    return Mail(
        to=to["Email"],
        subject=message["Subject"],
        text=message["TextPart"],
        html=message["HTMLPart"],
    )


def accept() -> Response:
    recipient = {
        "Email": RECIPIENT,
        "MessageUUID": "6f1c7e2b-90d5-4a38-b1c4-2e7d05f98a63",
        "MessageID": int(MESSAGE_ID),
        "MessageHref": f"https://api.mailjet.com/v3/REST/message/{MESSAGE_ID}",
    }
    message = {"Status": "success", "CustomID": "", "To": [recipient], "Cc": [], "Bcc": []}
    return answer(200, Messages=[message])


def refuse() -> Response:
    return wrong(
        400, "mj-0013", f'"{RECIPIENT}" is an invalid email address.', related=["To[0].Email"]
    )


def reject_sender() -> Response:
    return wrong(
        403,
        "send-0008",
        '"noreply@example.org" is not an authorized sender email address for your account.',
        related=["From"],
    )


def reject_request() -> Response:
    return answer(
        400,
        ErrorIdentifier="0b7c1d94-52ae-4f63-8d17-c95e3a60f2b8",
        ErrorCode="mj-0002",
        ErrorMessage="Malformed JSON, please review the syntax and properties types.",
        StatusCode=400,
    )


def wrong(status: int, code: str, text: str, related: list[str]) -> Response:
    error = {
        "ErrorIdentifier": "d3a8f0c6-7b24-4e19-95d2-1f6c08b7e4a5",
        "ErrorCode": code,
        "StatusCode": status,
        "ErrorMessage": text,
        "ErrorRelatedTo": related,
    }
    return answer(status, Messages=[{"Status": "error", "Errors": [error]}])


def answer(status: int, **content: Any) -> Response:
    return Response(json.dumps(content), status, content_type="application/json")


def basic(user_and_password: str) -> str:
    return "Basic " + base64.b64encode(user_and_password.encode()).decode()


def report(content: dict[str, Any], secret: str | None = SECRET) -> Report:
    headers = {"Content-Type": "application/json"}
    if secret:
        headers["Authorization"] = basic(secret)
    return Report(json.dumps(content).encode(), headers)


def event(kind: str, time: int, message_id: str, **more: Any) -> dict[str, Any]:
    return {
        "event": kind,
        "time": time,
        "MessageID": int(message_id),
        "Message_GUID": "6f1c7e2b-90d5-4a38-b1c4-2e7d05f98a63",
        "email": RECIPIENT,
        "mj_campaign_id": 0,
        "mj_contact_id": 301,
        "customcampaign": "",
        "CustomID": "",
        "Payload": "",
        **more,
    }


def delivery(message_id: str) -> dict[str, Any]:
    reply = "sent (250 2.0.0 OK)"
    return event("sent", 1772359205, message_id, mj_message_id=message_id, smtp_reply=reply)


def bounce(error: str, related: str, *, hard: bool) -> Any:
    return lambda message_id: report(
        event(
            "bounce",
            1772359207,
            message_id,
            blocked=hard,
            hard_bounce=hard,
            error_related_to=related,
            error=error,
            comment="",
        )
    )


PROVIDER = Provider(
    backend="durable.mail.providers.mailjet.MailjetBackend",
    webhook="durable.mail.providers.mailjet.MailjetWebhookView",
    environment={
        "MAILJET_API_KEY": API_KEY,
        "MAILJET_SECRET_KEY": SECRET_KEY,
        "WEBHOOK_SECRET": SECRET,
    },
    anymail={
        "MAILJET_API_KEY": API_KEY,
        "MAILJET_SECRET_KEY": SECRET_KEY,
        "WEBHOOK_SECRET": SECRET,
    },
    local=lambda url, seconds: {"MAILJET_API_URL": url, "REQUESTS_TIMEOUT": seconds},
    read=read,
    accept=accept,
    message_id=lambda _mail: MESSAGE_ID,
    refuse=refuse,
    rejects={
        "a sender who is not authorized": reject_sender,
        "an error of the whole request": reject_request,
    },
    delivered=lambda message_id: report(delivery(message_id)),
    hard_bounce=bounce("user unknown", "recipient", hard=True),
    soft_bounce=bounce("quota exceeded", "recipient", hard=False),
    deferred=bounce("greylisted", "domain", hard=False),
    complained=lambda message_id: report(event("spam", 1772362800, message_id, source="JMRPP")),
    forged=lambda message_id: {
        "without a secret": report(delivery(message_id), None),
        "with another secret": report(delivery(message_id), "mailjet:guess"),
    },
)
