"""Brevo's wire format: https://developers.brevo.com/reference/sendtransacemail."""

import base64
import json
from collections.abc import Callable
from typing import Any

from werkzeug import Request, Response

from durable.tests.providers import RECIPIENT, Mail, Provider, Report

KEY = "xkeysib-5d0e3a97c1-kT4mVb2q"
SECRET = "brevo:sesame"
MESSAGE_ID = "<202603011000.48151623420@smtp-relay.mailin.fr>"


def read(request: Request) -> Mail:
    assert (request.method, request.path) == ("POST", "/smtp/email")
    assert request.headers["api-key"] == KEY
    sent = json.loads(request.data)
    (recipient,) = sent["to"]
    return Mail(
        to=recipient["email"],
        subject=sent["subject"],
        text=sent["textContent"],
        html=sent["htmlContent"],
        key=sent["headers"]["idempotencyKey"],
    )


def accept() -> Response:
    return answer(201, messageId=MESSAGE_ID)


def refuse() -> Response:
    return answer(400, code="invalid_parameter", message="email is not valid in to")


def not_activated() -> Response:
    return answer(
        403,
        code="permission_denied",
        message="Unable to send email. Your SMTP account is not yet activated.",
    )


def duplicate() -> Response:
    return answer(400, code="duplicate_parameter", message="The idempotencyKey was used before")


def answer(status: int, **content: Any) -> Response:
    return Response(json.dumps(content), status, content_type="application/json")


def report(content: dict[str, Any], secret: str | None = SECRET) -> Report:
    headers = {"Content-Type": "application/json"}
    if secret:
        headers["Authorization"] = "Basic " + base64.b64encode(secret.encode()).decode()
    return Report(json.dumps(content).encode(), headers)


def event(name: str, message_id: str, **more: Any) -> dict[str, Any]:
    return {
        "event": name,
        "email": RECIPIENT,
        "id": 108642,  # of the webhook: an event has none
        "date": "2026-03-01 11:00:05",
        "ts": 1772359205,
        "message-id": message_id,
        "ts_event": 1772359205,
        "subject": "A test",
        "sending_ip": "192.0.2.17",
        "ts_epoch": 1772359205000,
        "tags": [],
        **more,
    }


def reports(name: str, **more: Any) -> Callable[[str], Report]:
    return lambda message_id: report(event(name, message_id, **more))


PROVIDER = Provider(
    backend="durable.mail.providers.brevo.BrevoBackend",
    webhook="durable.mail.providers.brevo.BrevoWebhookView",
    environment={"BREVO_API_KEY": KEY, "WEBHOOK_SECRET": SECRET},
    anymail={"BREVO_API_KEY": KEY, "WEBHOOK_SECRET": SECRET},
    local=lambda url, seconds: {"BREVO_API_URL": url, "REQUESTS_TIMEOUT": seconds},
    read=read,
    accept=accept,
    message_id=lambda _mail: MESSAGE_ID,
    refuse=refuse,
    temporary={"an account that is not activated": not_activated},
    duplicate=duplicate,
    delivered=reports("delivered"),
    hard_bounce=reports("hard_bounce", reason="550 5.1.1 no such user here"),
    soft_bounce=reports("soft_bounce", reason="452 4.2.2 the mailbox is full"),
    deferred=reports("deferred", reason="451 4.7.1 greylisted, come back later"),
    complained=reports("spam"),
    forged=lambda message_id: {
        "without a secret": report(event("delivered", message_id), None),
        "with another secret": report(event("delivered", message_id), "brevo:guess"),
    },
)
