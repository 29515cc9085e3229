"""Postal's wire format: https://docs.postalserver.io/developer/api."""

import base64
import json
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from werkzeug import Request, Response

from durable.tests.providers import RECIPIENT, Mail, Provider, Report

API_URL = "https://postal.example.org"
API_KEY = "kR7tWq2ZbX9mLc4VhN1sPd8f"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC_KEY = base64.b64encode(
    KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
).decode()
MESSAGE_ID = "4711"


def read(request: Request) -> Mail:
    assert (request.method, request.path) == ("POST", "/api/v1/send/message")
    assert request.headers["X-Server-API-Key"] == API_KEY
    sent = json.loads(request.data)
    (to,) = sent["to"]
    return Mail(to=to, subject=sent["subject"], text=sent["plain_body"], html=sent["html_body"])


def accept() -> Response:
    message = {"id": int(MESSAGE_ID), "token": "hV3kQz81LmWc"}
    return answer(
        "success",
        message_id="5a0c9e1d-7b36-4f82-a4d5-e813c02b96f7@rp.postal.example.org",
        messages={RECIPIENT: message},
    )


def refuse() -> Response:
    """Respond as the web server in front of Postal; Postal itself responds with 200 only."""
    page = "<html><head><title>413 Request Entity Too Large</title></head></html>"
    return Response(page, 413, content_type="text/html")


def reject_sender() -> Response:
    return answer(
        "error",
        code="UnauthenticatedFromAddress",
        message="The From address is not authorised to send mail from this server",
    )


def reject_parameter() -> Response:
    return answer("parameter-error", message="`to` parameter is required but is missing")


def bad_key() -> Response:
    return answer(
        "error",
        code="InvalidServerAPIKey",
        message="The API token in X-Server-API-Key was not valid.",
        token=API_KEY,
    )


def suspended() -> Response:
    return answer("error", code="ServerSuspended")


def no_access() -> Response:
    return answer("error", code="AccessDenied", message="Must be authenticated as a server.")


def answer(status: str, **data: Any) -> Response:
    content = {"status": status, "time": 0.021, "flags": {}, "data": data}
    return Response(json.dumps(content), 200, content_type="application/json")


def sign(body: bytes, key: rsa.RSAPrivateKey) -> str:
    # Postal signs with SHA-1 here, and with SHA-256 in a header that Anymail does not read.
    return base64.b64encode(key.sign(body, padding.PKCS1v15(), hashes.SHA1())).decode()


def report(content: dict[str, Any], key: rsa.RSAPrivateKey = KEY) -> Report:
    body = json.dumps(content).encode()
    return Report(body, {"Content-Type": "application/json", "X-Postal-Signature": sign(body, key)})


def event(name: str, number: str, **payload: Any) -> dict[str, Any]:
    return {
        "event": name,
        "timestamp": 1772359205.794515,
        "payload": payload,
        "uuid": f"62498fda-ffc5-42f9-b23e-cea5274c51{number}",
    }


def message(message_id: str, *, direction: str, to: str, sender: str) -> dict[str, Any]:
    return {
        "id": int(message_id),
        "token": "hV3kQz81LmWc",
        "direction": direction,
        "message_id": "5a0c9e1d-7b36-4f82-a4d5-e813c02b96f7@rp.postal.example.org",
        "to": to,
        "from": sender,
        "subject": "A test",
        "timestamp": 1772359201.8612,
        "spam_status": "NotChecked",
        "tag": None,
    }


def outgoing(message_id: str) -> dict[str, Any]:
    return message(message_id, direction="outgoing", to=RECIPIENT, sender="noreply@example.org")


def delivery(message_id: str) -> dict[str, Any]:
    return event(
        "MessageSent",
        "01",
        message=outgoing(message_id),
        status="Sent",
        details="Message for the recipient accepted by 192.0.2.25:25 (mx.example.com)",
        output="250 2.0.0 OK",
        sent_with_ssl=True,
        timestamp=1772359205.785198,
        time=0.5,
    )


def deferred(message_id: str) -> Report:
    return report(
        event(
            "MessageDelayed",
            "02",
            message=outgoing(message_id),
            status="SoftFail",
            details="Temporary SMTP delivery error when sending to 192.0.2.25:25 (mx.example.com)",
            output="451 4.3.0 try again later",
            sent_with_ssl=True,
            timestamp=1772359205.785198,
            time=0.4,
        )
    )


def hard_bounce(message_id: str) -> Report:
    bounce = message(
        str(int(message_id) + 1),
        direction="incoming",
        to="kqwvbz@rp.postal.example.org",
        sender="mailer-daemon@mx.example.com",
    )
    return report(
        event("MessageBounced", "03", original_message=outgoing(message_id), bounce=bounce)
    )


def forged(message_id: str) -> dict[str, Report]:
    signed = report(delivery(message_id))
    another = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return {
        "unsigned": Report(signed.body, {"Content-Type": "application/json"}),
        "signed with another key": report(delivery(message_id), another),
        "changed after signing": Report(signed.body.replace(b"Sent", b"Held"), signed.headers),
        "with a malformed signature": Report(
            signed.body, {**signed.headers, "X-Postal-Signature": "sesame"}
        ),
    }


PROVIDER = Provider(
    backend="durable.mail.providers.postal.PostalBackend",
    webhook="durable.mail.providers.postal.PostalWebhookView",
    environment={
        "POSTAL_API_URL": API_URL,
        "POSTAL_API_KEY": API_KEY,
        "POSTAL_WEBHOOK_KEY": PUBLIC_KEY,
    },
    anymail={
        "POSTAL_API_URL": API_URL,
        "POSTAL_API_KEY": API_KEY,
        "POSTAL_WEBHOOK_KEY": PUBLIC_KEY,
    },
    local=lambda url, seconds: {"POSTAL_API_URL": url, "REQUESTS_TIMEOUT": seconds},
    read=read,
    accept=accept,
    message_id=lambda _mail: MESSAGE_ID,
    refuse=refuse,
    rejects={
        "an error with status 200": reject_sender,
        "a parameter error with status 200": reject_parameter,
    },
    temporary={"a bad key": bad_key, "a suspended server": suspended, "no access": no_access},
    delivered=lambda message_id: report(delivery(message_id)),
    hard_bounce=hard_bounce,
    deferred=deferred,
    forged=forged,
)
