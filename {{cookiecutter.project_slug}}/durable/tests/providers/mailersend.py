"""MailerSend's wire format: https://developers.mailersend.com/api/v1/email.html."""

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

from werkzeug import Request, Response

from durable.tests.providers import RECIPIENT, Mail, Provider, Report

TOKEN = "mlsn.6f0c2b9d57e84a13"
SECRET = "kR8wZt3nXq5LbM1s"
MESSAGE_ID = "69a40e605f010335ed0706a1"
ACTIVITIES = {
    "delivered": "69a40e65cfbe46145d003a01",
    "hard_bounced": "69a40e655c00f8e52001fc02",
    "soft_bounced": "69a40e65165fe0d8db028803",
    "deferred": "69a40e65165fe0d8db028805",
    "spam_complaints": "69a41c70165fe0d8db028804",
}


def read(request: Request) -> Mail:
    assert (request.method, request.path) == ("POST", "/email")
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"
    sent = json.loads(request.data)
    assert "headers" not in sent  # a reason to refuse the mail, but for enterprise accounts
    (recipient,) = sent["to"]
    return Mail(
        to=recipient["email"], subject=sent["subject"], text=sent["text"], html=sent["html"]
    )


def accept() -> Response:
    return Response(
        b"",
        202,
        headers={"X-Message-Id": MESSAGE_ID, "X-Paused": "false"},
        content_type="text/html; charset=UTF-8",
    )


def refuse() -> Response:
    reason = "The from.email domain must be verified in your account to send emails. #MS42207"
    return answer(422, message=reason, errors={"from.email": [reason]})


def reject_suppressed() -> Response:
    return answer(
        202,
        message="There are some warnings for your request.",
        warnings=[
            {
                "type": "ALL_SUPPRESSED",
                "message": "All of the recipients provided have been suppressed.",
                "recipients": [{"email": RECIPIENT, "name": None, "reasons": ["hard_bounced"]}],
            }
        ],
    )


def maintenance() -> Response:
    return answer(421, message="The service is not available, try again later.")


def answer(status: int, **content: Any) -> Response:
    return Response(json.dumps(content), status, content_type="application/json")


def activity(kind: str, message_id: str, **meta: Any) -> bytes:
    content = {
        "type": f"activity.{kind.removesuffix('s')}",
        "created_at": "2026-10-01T10:00:06.000000Z",
        "data": {
            "id": ACTIVITIES[kind],
            "domain_id": "3yxj6ljd2o5gdo2r",
            "message_id": message_id,
            "email_id": "69a40e61e225707fa905f0b2",
            "type": kind,
            "subject": "A test",
            "recipient": RECIPIENT,
            "tags": [],
            "meta": meta or [],
        },
        "webhook_id": "p7kx4xwm3q4g9yjr",
    }
    return json.dumps(content).replace("/", "\\/").encode()  # as MailerSend writes a slash


def delivery(message_id: str) -> bytes:
    return activity("delivered", message_id)


def reports(kind: str, **meta: Any) -> Callable[[str], Report]:
    return lambda message_id: report(activity(kind, message_id, **meta))


def sign(body: bytes, secret: str) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def report(body: bytes, signature: str | None = None) -> Report:
    return Report(
        body, {"Content-Type": "application/json", "Signature": signature or sign(body, SECRET)}
    )


def forged(message_id: str) -> dict[str, Report]:
    body = delivery(message_id)
    return {
        "unsigned": Report(body, {"Content-Type": "application/json"}),
        "signed with another secret": report(body, sign(body, "a guess")),
        "changed after signing": report(body, sign(delivery("another"), SECRET)),
    }


PROVIDER = Provider(
    backend="durable.mail.providers.mailersend.MailerSendBackend",
    webhook="durable.mail.providers.mailersend.MailerSendWebhookView",
    environment={"MAILERSEND_API_TOKEN": TOKEN, "MAILERSEND_SIGNING_SECRET": SECRET},
    anymail={"MAILERSEND_API_TOKEN": TOKEN, "MAILERSEND_SIGNING_SECRET": SECRET},
    local=lambda url, seconds: {"MAILERSEND_API_URL": url, "REQUESTS_TIMEOUT": seconds},
    read=read,
    accept=accept,
    message_id=lambda _mail: MESSAGE_ID,
    refuse=refuse,
    rejects={"a suppressed recipient": reject_suppressed},
    temporary={"maintenance": maintenance},
    delivered=reports("delivered"),
    hard_bounce=reports(
        "hard_bounced",
        bounce_reason="Host or domain name not found",
        bounce_code=550,
        bounce_type="hard",
    ),
    soft_bounce=reports(
        "soft_bounced", bounce_reason="The mailbox is full", bounce_code=452, bounce_type="soft"
    ),
    deferred=reports("deferred"),
    complained=reports("spam_complaints"),
    forged=forged,
)
