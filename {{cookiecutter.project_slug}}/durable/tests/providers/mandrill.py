"""Mandrill's wire format: https://mailchimp.com/developer/transactional/api/messages/."""

import base64
import hashlib
import hmac
import json
from typing import Any
from urllib.parse import urlencode

from werkzeug import Request, Response

from durable.tests.providers import RECIPIENT, Mail, Provider, Report

KEY = "md-Zq3VhT0kYw8sLr5nXe7uGa"
WEBHOOK_KEY = "pR4tJ9mWc2xQ7vKd1bNf6g"
# Mandrill signs the address that was entered with it; this is the test client's.
WEBHOOK_URL = "http://testserver/webhooks/email/tracking/"
MESSAGE_ID = "6d1f0b3c8e2a4f57a9c0d4e1b7f83526"
SETTINGS = {"MANDRILL_API_KEY": KEY, "MANDRILL_WEBHOOK_KEY": WEBHOOK_KEY}


def read(request: Request) -> Mail:
    assert (request.method, request.path) == ("POST", "/messages/send.json")
    sent = json.loads(request.data)
    assert sent["key"] == KEY
    message = sent["message"]
    (recipient,) = message["to"]
    return Mail(
        to=recipient["email"],
        subject=message["subject"],
        text=message["text"],
        html=message["html"],
    )


def respond(status: str, **more: str | None) -> Any:
    raw = {"email": RECIPIENT, "status": status, "_id": MESSAGE_ID, "reject_reason": None, **more}
    return lambda: answer(200, [raw])


def refuse() -> Response:
    # Version 1.0 of the API responds to every error with 500.
    return answer(
        500,
        {
            "status": "error",
            "code": -2,
            "name": "ValidationError",
            "message": 'Validation error: {"message":{"from_email":"An email address must contain '
            'a single @"}}',
        },
    )


def reject_as_unprocessable() -> Response:
    # Version 1.1 has an HTTP status for it.
    raw = {"status": "error", "code": -2, "name": "ValidationError", "message": "Invalid input"}
    return answer(422, raw)


def wrong(name: str, code: int, message: str) -> Any:
    return lambda: answer(500, {"status": "error", "code": code, "name": name, "message": message})


def answer(status: int, content: Any) -> Response:
    return Response(json.dumps(content), status, content_type="application/json")


def event(kind: str, message_id: str, state: str, **details: Any) -> dict[str, str]:
    raw = {
        "event": kind,
        "_id": message_id,
        "ts": 1772359205,
        "msg": {
            "_id": message_id,
            "_version": "k3Jd0pXw8vQe5rTz1yLbNA",
            "ts": 1772359200,
            "state": state,
            "subject": "A test",
            "email": RECIPIENT,
            "sender": "noreply@example.com",
            "template": None,
            "subaccount": None,
            "tags": [],
            "metadata": [],
            "opens": [],
            "clicks": [],
            "resends": [],
            "smtp_events": [],
            **details,
        },
    }
    return {"mandrill_events": json.dumps([raw])}


def delivery(message_id: str) -> dict[str, str]:
    return event("delivered", message_id, "delivered")


def bounce(kind: str, state: str, description: str, reply: str) -> Any:
    return lambda message_id: report(
        event(kind, message_id, state, bounce_description=description, bgtools_code=10, diag=reply)
    )


def sign(form: dict[str, str], key: str) -> str:
    signed = WEBHOOK_URL + "".join(name + form[name] for name in sorted(form))
    return base64.b64encode(hmac.digest(key.encode(), signed.encode(), hashlib.sha1)).decode()


def report(form: dict[str, str], key: str = WEBHOOK_KEY, signature: str | None = None) -> Report:
    return Report(
        urlencode(form).encode(),
        {
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Mandrill-Signature": sign(form, key) if signature is None else signature,
        },
    )


def forge(message_id: str) -> dict[str, Report]:
    form = delivery(message_id)
    unsigned = report(form)
    del unsigned.headers["X-Mandrill-Signature"]
    another = sign(event("open", message_id, "sent"), WEBHOOK_KEY)
    return {
        "unsigned": unsigned,
        # This key signs the calls that test a webhook: it is public.
        "signed with the key for tests": report(form, "test-webhook"),
        "changed after signing": report(form, signature=another),
    }


PROVIDER = Provider(
    backend="durable.mail.providers.mandrill.MandrillBackend",
    webhook="durable.mail.providers.mandrill.MandrillWebhookView",
    environment=SETTINGS,
    anymail=SETTINGS,
    local=lambda url, seconds: {"MANDRILL_API_URL": url, "REQUESTS_TIMEOUT": seconds},
    read=read,
    accept=respond("sent"),
    message_id=lambda _mail: MESSAGE_ID,
    refuse=refuse,
    rejects={
        "a validation error with status 422": reject_as_unprocessable,
        "an address on the denylist": respond("rejected", reject_reason="hard-bounce"),
        "an invalid address": respond("invalid"),
    },
    temporary={
        "a bad key": wrong("Invalid_Key", -1, "Invalid API key"),
        "an unpaid account": wrong("PaymentRequired", 10, "The account has to be paid first."),
        "a general error": wrong("GeneralError", -99, "Something unexpected went wrong."),
    },
    delivered=lambda message_id: report(delivery(message_id)),
    hard_bounce=bounce(
        "hard_bounce", "bounced", "bad_mailbox", "smtp;550 5.1.1 Recipient address rejected"
    ),
    soft_bounce=bounce("soft_bounce", "soft-bounced", "mailbox_full", "smtp;552 5.2.2 Over quota"),
    deferred=bounce("deferral", "deferred", "general", "smtp;451 4.3.5 Please try again later"),
    complained=lambda message_id: report(event("spam", message_id, "spam")),
    forged=forge,
)
