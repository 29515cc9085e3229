"""Resend's wire format: https://resend.com/docs/api-reference."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

from werkzeug import Request, Response

from durable.tests.providers import RECIPIENT, Mail, Provider, Report

KEY = "re_5Tq8vXcN_sending"
SECRET = "whsec_" + base64.b64encode(b"sesame for resend's webhook").decode()
MESSAGE_ID = "49a3999c-0ce1-4ea6-ab68-afcd6dc2e794"
TOO_OLD = 600  # seconds; Svix's own libraries allow five minutes


def read(request: Request) -> Mail:
    assert (request.method, request.path) == ("POST", "/emails")
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    sent = json.loads(request.data)
    return Mail(
        to=sent["to"][0],
        subject=sent["subject"],
        text=sent["text"],
        html=sent["html"],
        key=request.headers["Idempotency-Key"],
    )


def accept() -> Response:
    return answer(200, id=MESSAGE_ID)


def refuse() -> Response:
    return answer(
        422,
        statusCode=422,
        name="validation_error",
        message="Invalid `to` field. The email address needs to follow the format "
        "`email@example.com` or `Name <email@example.com>`.",
    )


def reject_domain() -> Response:
    return answer(
        403,
        statusCode=403,
        name="validation_error",
        message="The example.com domain is not verified. Please, add and verify your domain.",
    )


def wrong(status: int, name: str, message: str) -> Any:
    return lambda: answer(status, statusCode=status, name=name, message=message)


def answer(status: int, **content: Any) -> Response:
    return Response(json.dumps(content), status, content_type="application/json")


def report(content: dict[str, Any], secret: str = SECRET, age: int = 0) -> Report:
    body = json.dumps(content).encode()
    # The same event has the same id each time it is sent, the time is that of the sending.
    number = hashlib.sha256(body).hexdigest()[:27]
    identity, moment = f"msg_{number}", str(int(time.time()) - age)
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = b".".join((identity.encode(), moment.encode(), body))
    signature = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    return Report(
        body,
        {
            "Content-Type": "application/json",
            "svix-id": identity,
            "svix-timestamp": moment,
            "svix-signature": f"v1,{signature}",
        },
    )


def event(kind: str, message_id: str, **more: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "created_at": "2026-03-01T10:00:05.126Z",
        "data": {
            "created_at": "2026-03-01T10:00:00.894719+00:00",
            "email_id": message_id,
            "from": "Service <noreply@example.com>",
            "to": [RECIPIENT],
            "subject": "A test",
            **more,
        },
    }


def bounce(kind: str, detail: str, message: str) -> Any:
    return lambda message_id: report(
        event(
            "email.bounced",
            message_id,
            bounce={"type": kind, "subType": detail, "message": message},
        )
    )


def unsigned(message_id: str) -> Report:
    body = report(event("email.delivered", message_id)).body
    return Report(body, {"Content-Type": "application/json"})


def changed(message_id: str) -> Report:
    signed = report(event("email.delivered", message_id))
    return Report(signed.body.replace(b"email.delivered", b"email.complained"), signed.headers)


PROVIDER = Provider(
    backend="durable.mail.providers.resend.ResendBackend",
    webhook="durable.mail.providers.resend.ResendWebhookView",
    environment={"RESEND_API_KEY": KEY, "RESEND_SIGNING_SECRET": SECRET},
    anymail={"RESEND_API_KEY": KEY, "RESEND_SIGNING_SECRET": SECRET},
    local=lambda url, seconds: {"RESEND_API_URL": url, "REQUESTS_TIMEOUT": seconds},
    read=read,
    accept=accept,
    message_id=lambda _mail: MESSAGE_ID,
    refuse=refuse,
    rejects={"a domain that is not verified": reject_domain},
    temporary={
        "a bad key": wrong(403, "invalid_api_key", "API key is invalid."),
        "an unfinished first request": wrong(
            409,
            "concurrent_idempotent_requests",
            "Another request with this idempotency key is being processed.",
        ),
    },
    duplicate=wrong(
        409,
        "invalid_idempotent_request",
        "This idempotency key was used with another request body.",
    ),
    delivered=lambda message_id: report(event("email.delivered", message_id)),
    hard_bounce=bounce(
        "Permanent",
        "General",
        "The recipient's email provider sent a hard bounce message, without a reason.",
    ),
    soft_bounce=bounce(
        "Transient",
        "MailboxFull",
        "The recipient's email provider sent a bounce message because the inbox was full.",
    ),
    deferred=lambda message_id: report(event("email.delivery_delayed", message_id)),
    complained=lambda message_id: report(event("email.complained", message_id)),
    forged=lambda message_id: {
        "unsigned": unsigned(message_id),
        "signed with another secret": report(
            event("email.delivered", message_id), "whsec_" + base64.b64encode(b"guess").decode()
        ),
        "changed after signing": changed(message_id),
        "too old": report(event("email.delivered", message_id), age=TOO_OLD),
    },
)
