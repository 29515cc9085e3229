"""Unisender Go's wire format: https://godocs.unisender.ru/web-api-ref."""

import hashlib
import json
from typing import Any

from werkzeug import Request, Response

from durable.tests.providers import RECIPIENT, Mail, Provider, Report

KEY = "6a8xq3w1bqzm5ru7tdn4ys9ce2pkhvj0"
JOB = "1tKq4w-000A1c-9X"
URL = "https://go2.unisender.ru/ru/transactional/api/v1/"


def read(request: Request) -> Mail:
    assert (request.method, request.path) == ("POST", "/ru/transactional/api/v1/email/send.json")
    assert request.headers["X-API-KEY"] == KEY
    sent = json.loads(request.data)["message"]
    (recipient,) = sent["recipients"]
    assert recipient["metadata"]["anymail_id"] == sent["idempotence_key"]
    return Mail(
        to=recipient["email"],
        subject=sent["subject"],
        text=sent["body"]["plaintext"],
        html=sent["body"]["html"],
        key=sent["idempotence_key"],
    )


def accept() -> Response:
    return answer(200, status="success", job_id=JOB, emails=[RECIPIENT])


def refuse() -> Response:
    return answer(
        400, status="error", code=206, message="Sender email is not verified: noreply@example.com."
    )


def reject_unsubscribed() -> Response:
    return answer(
        400,
        status="error",
        code=204,
        message="There are no valid recipients.",
        failed_emails={RECIPIENT: "unsubscribed"},
    )


def reject_unavailable() -> Response:
    return answer(
        200,
        status="success",
        job_id=JOB,
        emails=[],
        failed_emails={RECIPIENT: "permanent_unavailable"},
    )


def duplicate() -> Response:
    return answer(400, status="error", code=1573, message="Duplicate idempotence_key.")


def answer(status: int, /, **content: Any) -> Response:
    return Response(json.dumps(content), status, content_type="application/json")


def report(content: dict[str, Any], key: str = KEY) -> Report:
    events = [{"event_name": "transactional_email_status", "event_data": content}]
    user = {
        "user_id": 456,
        "project_id": "6432890213745872",
        "project_name": "Service",
        "events": events,
    }
    whole = {"auth": key, "events_by_user": [user]}
    body = json.dumps(whole, separators=(",", ":"), ensure_ascii=False).encode()
    auth = hashlib.md5(body, usedforsecurity=False).hexdigest()
    return Report(
        body.replace(key.encode(), auth.encode(), 1), {"Content-Type": "application/json"}
    )


def event(status: str, message_id: str, delivery: str, response: str = "") -> dict[str, Any]:
    return {
        "job_id": JOB,
        "metadata": {"anymail_id": message_id},
        "email": RECIPIENT,
        "status": status,
        "event_time": "2026-03-01 10:00:05",
        "delivery_info": {
            "delivery_status": delivery,
            "destination_response": response,
            "ip": "203.0.113.7",
        },
    }


def delivery(message_id: str) -> dict[str, Any]:
    return event("delivered", message_id, "ok_delivered", "250 2.0.0 OK")


def forged(message_id: str) -> dict[str, Report]:
    signed = report(delivery(message_id))
    auth = json.loads(signed.body)["auth"].encode()
    changes = {
        "without a signature": (b'"auth":"' + auth + b'",', b""),
        "with an empty signature": (auth, b""),
        "with a malformed signature": (auth, b"guess"),
        "changed after signing": (b'"delivered"', b'"spam"'),
    }
    return {
        "signed with another key": report(delivery(message_id), "guess"),
        **{
            word: Report(signed.body.replace(*change), signed.headers)
            for word, change in changes.items()
        },
    }


PROVIDER = Provider(
    backend="durable.mail.providers.unisender_go.UnisenderGoBackend",
    webhook="durable.mail.providers.unisender_go.UnisenderGoWebhookView",
    environment={"UNISENDER_GO_API_KEY": KEY, "UNISENDER_GO_API_URL": URL},
    anymail={"UNISENDER_GO_API_KEY": KEY, "UNISENDER_GO_API_URL": URL},
    local=lambda url, seconds: {
        "UNISENDER_GO_API_URL": f"{url}ru/transactional/api/v1/",
        "REQUESTS_TIMEOUT": seconds,
    },
    read=read,
    accept=accept,
    message_id=lambda mail: mail.key,
    refuse=refuse,
    rejects={
        "an unsubscribed recipient": reject_unsubscribed,
        "an unavailable recipient with status 200": reject_unavailable,
    },
    duplicate=duplicate,
    delivered=lambda message_id: report(delivery(message_id)),
    hard_bounce=lambda message_id: report(
        event("hard_bounced", message_id, "err_user_unknown", "550 5.1.1 unknown user")
    ),
    soft_bounce=lambda message_id: report(
        event("hard_bounced", message_id, "err_mailbox_full", "552 5.2.2 mailbox is full")
    ),
    deferred=lambda message_id: report(
        event("soft_bounced", message_id, "err_will_retry", "451 4.7.1 try again later")
    ),
    complained=lambda message_id: report(event("spam", message_id, "ok_fbl")),
    forged=forged,
)
