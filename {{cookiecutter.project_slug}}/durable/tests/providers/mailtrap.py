"""Mailtrap's wire format: https://docs.mailtrap.io/developers/email-sending/transactional."""

import hashlib
import hmac
import json
from typing import Any

from werkzeug import Request, Response

from durable.tests.providers import RECIPIENT, Mail, Provider, Report

TOKEN = "c9f1e27a40b8d3566a1e0f9d2b7c8e43"
SECRET = "8d9a3c0e7f5b2d4a6c1e9f8b3a7d5c2e"
MESSAGE_ID = "5b2c8e10-1d7f-11f1-9a52-0a58a9feac02"
SETTINGS = {"MAILTRAP_API_TOKEN": TOKEN, "MAILTRAP_TRACKING_SECRET": SECRET}


def read(request: Request) -> Mail:
    assert (request.method, request.path) == ("POST", "/send")
    assert request.headers["Api-Token"] == TOKEN
    sent = json.loads(request.data)
    assert "Message-ID" not in sent.get("headers", {})
    (recipient,) = sent["to"]
    return Mail(
        to=recipient["email"], subject=sent["subject"], text=sent["text"], html=sent["html"]
    )


def accept() -> Response:
    return answer(200, success=True, message_ids=[MESSAGE_ID])


def refuse() -> Response:
    return answer(400, success=False, errors=["'from' address is invalid"])


def reject_domain() -> Response:
    return answer(403, success=False, errors=["Sending from domain example.com is not allowed"])


def answer(status: int, **content: Any) -> Response:
    return Response(json.dumps(content), status, content_type="application/json")


def event(kind: str, message_id: str, number: int, **details: Any) -> bytes:
    raw = {
        "event": kind,
        "timestamp": 1772359200 + number,
        "sending_stream": "transactional",
        "sending_domain_name": "example.com",
        "message_id": message_id,
        "email": RECIPIENT,
        "event_id": f"7e4d0c92-1d7f-11f1-8b3e-0a58a9feac{number:02}",
        **details,
    }
    return json.dumps({"events": [raw]}).encode()


def delivery(message_id: str) -> bytes:
    return event("delivery", message_id, 1)


def hard_bounce(message_id: str) -> Report:
    return report(
        event(
            "bounce",
            message_id,
            2,
            response="550 5.1.1 No such user here",
            response_code=550,
            bounce_category="badrecipient",
        )
    )


def soft_bounce(message_id: str) -> Report:
    return report(
        event(
            "bounce",
            message_id,
            3,
            response="552 5.2.2 The mailbox is full",
            response_code=552,
            bounce_category="overquota",
        )
    )


def deferred(message_id: str) -> Report:
    return report(
        event(
            "soft bounce",
            message_id,
            4,
            response="451 4.7.1 Greylisted, come back later",
            response_code=451,
            bounce_category="greylisting",
        )
    )


def report(body: bytes, secret: str | None = SECRET) -> Report:
    headers = {"Content-Type": "application/json"}
    if secret:
        headers["Mailtrap-Signature"] = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return Report(body, headers)


def forge(message_id: str) -> dict[str, Report]:
    signed = report(event("open", message_id, 5))
    return {
        "unsigned": report(delivery(message_id), None),
        "signed with another secret": report(delivery(message_id), SECRET[::-1]),
        "changed after signing": Report(delivery(message_id), signed.headers),
    }


PROVIDER = Provider(
    backend="durable.mail.providers.mailtrap.MailtrapBackend",
    webhook="durable.mail.providers.mailtrap.MailtrapWebhookView",
    environment=SETTINGS,
    anymail=SETTINGS,
    local=lambda url, seconds: {"MAILTRAP_API_URL": url, "REQUESTS_TIMEOUT": seconds},
    read=read,
    accept=accept,
    message_id=lambda _mail: MESSAGE_ID,
    refuse=refuse,
    rejects={"a domain that is not verified": reject_domain},
    delivered=lambda message_id: report(delivery(message_id)),
    hard_bounce=hard_bounce,
    soft_bounce=soft_bounce,
    deferred=deferred,
    complained=lambda message_id: report(event("spam", message_id, 6)),
    forged=forge,
)
