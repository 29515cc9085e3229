"""Postmark's wire format: https://postmarkapp.com/developer."""

import base64
import json
from typing import Any

from werkzeug import Request, Response

from durable.tests.providers import RECIPIENT, Mail, Provider, Report

TOKEN = "4b1d7a4e-server-token"
SECRET = "postmark:sesame"
MESSAGE_ID = "b7bc2f4a-e38e-4336-af7d-e6c392c2f817"


def read(request: Request) -> Mail:
    assert (request.method, request.path) == ("POST", "/email")
    assert request.headers["X-Postmark-Server-Token"] == TOKEN
    sent = json.loads(request.data)
    return Mail(
        to=sent["To"], subject=sent["Subject"], text=sent["TextBody"], html=sent["HtmlBody"]
    )


def accept() -> Response:
    return answer(
        200,
        To=RECIPIENT,
        SubmittedAt="2026-03-01T10:00:00.0000000-05:00",
        MessageID=MESSAGE_ID,
        ErrorCode=0,
        Message="OK",
    )


def refuse() -> Response:
    return answer(422, ErrorCode=300, Message="Invalid 'From' address.")


def reject_inactive() -> Response:
    return answer(
        422,
        ErrorCode=406,
        Message="You tried to send to a recipient that has been marked as inactive.\n"
        f"Found inactive addresses: {RECIPIENT}.\n"
        "Inactive recipients are ones that have generated a hard bounce, a spam complaint, "
        "or a manual suppression.",
    )


def answer(status: int, **content: Any) -> Response:
    return Response(json.dumps(content), status, content_type="application/json")


def report(content: dict[str, Any], secret: str | None = SECRET) -> Report:
    headers = {"Content-Type": "application/json"}
    if secret:
        headers["Authorization"] = "Basic " + base64.b64encode(secret.encode()).decode()
    return Report(json.dumps(content).encode(), headers)


def delivery(message_id: str) -> dict[str, Any]:
    return {
        "RecordType": "Delivery",
        "ServerID": 23,
        "MessageID": message_id,
        "Recipient": RECIPIENT,
        "Tag": "",
        "DeliveredAt": "2026-03-01T10:00:05Z",
        "Details": "smtp;250 2.0.0 OK",
        "Metadata": {},
    }


def bounce(kind: str, code: int, number: int) -> Any:
    return lambda message_id: report(
        {
            "RecordType": "Bounce",
            "ID": number,
            "Type": kind,
            "TypeCode": code,
            "MessageID": message_id,
            "Description": "The server was unable to deliver your message.",
            "Details": "smtp;550 5.1.1 unknown user",
            "Email": RECIPIENT,
            "BouncedAt": "2026-03-01T10:00:07Z",
            "Metadata": {},
        }
    )


def complained(message_id: str) -> Report:
    return report(
        {
            "RecordType": "SpamComplaint",
            "ID": 4323372036854775900,
            "Type": "SpamComplaint",
            "TypeCode": 100001,
            "MessageID": message_id,
            "Description": "The subscriber explicitly marked this message as spam.",
            "Details": "",
            "Email": RECIPIENT,
            "BouncedAt": "2026-03-01T11:00:00Z",
            "Metadata": {},
        }
    )


PROVIDER = Provider(
    backend="durable.mail.providers.postmark.PostmarkBackend",
    webhook="durable.mail.providers.postmark.PostmarkWebhookView",
    environment={"POSTMARK_SERVER_TOKEN": TOKEN, "WEBHOOK_SECRET": SECRET},
    anymail={"POSTMARK_SERVER_TOKEN": TOKEN, "WEBHOOK_SECRET": SECRET},
    local=lambda url, seconds: {"POSTMARK_API_URL": url, "REQUESTS_TIMEOUT": seconds},
    read=read,
    accept=accept,
    message_id=lambda _mail: MESSAGE_ID,
    refuse=refuse,
    rejects={"an inactive recipient": reject_inactive},
    temporary={
        "no credit": lambda: answer(
            422, ErrorCode=405, Message="You've run out of credits, so you can't send."
        ),
        "a pending account": lambda: answer(422, ErrorCode=412, Message="Your account is pending."),
    },
    delivered=lambda message_id: report(delivery(message_id)),
    hard_bounce=bounce("HardBounce", 1, 4323372036854775807),
    soft_bounce=bounce("SoftBounce", 4096, 4323372036854775808),
    deferred=bounce("Transient", 2, 4323372036854775809),
    complained=complained,
    forged=lambda message_id: {
        "without a secret": report(delivery(message_id), None),
        "with another secret": report(delivery(message_id), "postmark:guess"),
    },
)
