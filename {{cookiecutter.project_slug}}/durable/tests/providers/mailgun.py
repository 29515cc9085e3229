"""Mailgun's wire format: https://documentation.mailgun.com/docs/mailgun/api-reference."""

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from werkzeug import Request, Response

from durable.tests.providers import RECIPIENT, Mail, Provider, Report

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

DOMAIN = "example.com"
API_KEY = "0c9d2e7f41b86a35-5e4c1f2a-93d7b608"
SIGNING_KEY = "7b1e5c3a9f2d4860"
API_URL = "https://api.mailgun.net/v3"


def read(request: Request) -> Mail:
    assert (request.method, request.path) == ("POST", f"/{DOMAIN}/messages")
    assert request.authorization is not None
    assert (request.authorization.username, request.authorization.password) == ("api", API_KEY)
    sent = request.form
    name, _, domain = sent["h:Message-Id"].strip("<>").partition("@")
    assert domain == DOMAIN
    return Mail(
        to=sent["to"], subject=sent["subject"], text=sent["text"], html=sent["html"], key=name
    )


class Accepted(Response):
    """Mailgun responds with the sender's Message-ID, which only the request has."""

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        sent: Request = environ["werkzeug.request"]
        self.data = json.dumps({"id": sent.form["h:Message-Id"], "message": "Queued. Thank you."})
        return super().__call__(environ, start_response)


def accept() -> Response:
    return Accepted(status=200, content_type="application/json")


def refuse() -> Response:
    return answer(400, "to parameter is not a valid address. please check documentation")


def reject_domain() -> Response:
    return answer(404, f"Domain not found: {DOMAIN}")


def reject_sandbox() -> Response:
    return answer(
        403,
        f"Domain {DOMAIN} is not allowed to send: Sandbox subdomains are for test purposes only. "
        "Please add your own domain or add the address to authorized recipients.",
    )


def reject_path() -> Response:
    return Response("Mailgun Magnificent API", 200, content_type="text/html; charset=utf-8")


def answer(status: int, message: str) -> Response:
    return Response(json.dumps({"message": message}), status, content_type="application/json")


def event(name: str, message_id: str, **more: Any) -> dict[str, Any]:
    return {
        "event": name,
        "id": "Ase7i2zsRYeDXztHGENqRA",
        "timestamp": 1772359205.873921,
        "log-level": "info",
        "account": {"id": "5f1a2b3c4d5e6f7081920a1b"},
        "domain": {"name": DOMAIN},
        "recipient": RECIPIENT,
        "recipient-domain": RECIPIENT.partition("@")[2],
        "message": {
            "headers": {
                "to": RECIPIENT,
                "message-id": message_id.strip("<>"),
                "from": "noreply@example.com",
                "subject": "A test",
            },
            "attachments": [],
            "size": 1417,
        },
        "flags": {"is-authenticated": True, "is-test-mode": False},
        "tags": [],
        "user-variables": {},
        **more,
    }


def failure(severity: str, reason: str, **status: Any) -> Callable[[str], Report]:
    return lambda message_id: report(
        event(
            "failed",
            message_id,
            severity=severity,
            reason=reason,
            **{"delivery-status": {"session-seconds": 0.41, **status}},
        )
    )


def sign(content: dict[str, Any], key: str = SIGNING_KEY, age: float = 0) -> dict[str, str]:
    """Sign as Mailgun did some seconds ago: a time and a token, not the content."""
    timestamp = str(int(time.time() - age))
    token = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:50]  # one of each report
    signature = hmac.new(key.encode(), f"{timestamp}{token}".encode(), hashlib.sha256)
    return {"timestamp": timestamp, "token": token, "signature": signature.hexdigest()}


def report(content: dict[str, Any], signature: dict[str, str] | None = None) -> Report:
    body = {"signature": signature or sign(content), "event-data": content}
    return Report(json.dumps(body).encode(), {"Content-Type": "application/json"})


def delivery(message_id: str) -> dict[str, Any]:
    status = {"code": 250, "message": "OK", "attempt-no": 1, "mx-host": "mx.example.com"}
    return event("delivered", message_id, **{"delivery-status": status})


def forged(message_id: str) -> dict[str, Report]:
    content = delivery(message_id)
    body = json.dumps({"event-data": content}).encode()
    return {
        "unsigned": Report(body, {"Content-Type": "application/json"}),
        "signed with another key": report(content, sign(content, "a guess")),
        "signed with the key for sending": report(content, sign(content, API_KEY)),
        # Mailgun signs these two and not the event itself.
        "with another token": report(content, sign(content) | {"token": "0" * 50}),
        "with another time": report(content, sign(content) | {"timestamp": "1772445606"}),
        "signed yesterday": report(content, sign(content, age=86_400)),
        "signed tomorrow": report(content, sign(content, age=-86_400)),
    }


PROVIDER = Provider(
    backend="anymail.backends.mailgun.EmailBackend",
    webhook="durable.mail.providers.mailgun.MailgunWebhookView",
    environment={"MAILGUN_API_KEY": API_KEY, "MAILGUN_WEBHOOK_SIGNING_KEY": SIGNING_KEY},
    anymail={
        "MAILGUN_API_KEY": API_KEY,
        "MAILGUN_API_URL": API_URL,
        "MAILGUN_WEBHOOK_SIGNING_KEY": SIGNING_KEY,
    },
    local=lambda url, seconds: {"MAILGUN_API_URL": url, "REQUESTS_TIMEOUT": seconds},
    read=read,
    accept=accept,
    message_id=lambda mail: f"<{mail.key}@{DOMAIN}>",
    refuse=refuse,
    rejects={
        "an unknown domain": reject_domain,
        "a domain for tests only": reject_sandbox,
        "a greeting with status 200": reject_path,
    },
    delivered=lambda message_id: report(delivery(message_id)),
    hard_bounce=failure("permanent", "bounce", code=550, message="5.1.1 no such user here"),
    soft_bounce=failure("permanent", "old", code=602, message="Too old", **{"attempt-no": 8}),
    deferred=failure("temporary", "generic", code=451, message="busy", **{"retry-seconds": 600}),
    complained=lambda message_id: report(event("complained", message_id)),
    forged=forged,
)
