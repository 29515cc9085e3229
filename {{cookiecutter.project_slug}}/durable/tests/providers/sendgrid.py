"""SendGrid's wire format: https://www.twilio.com/docs/sendgrid/api-reference/mail-send."""

import base64
import hashlib
import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from werkzeug import Request, Response

from durable.tests.providers import RECIPIENT, Mail, Provider, Report

KEY = "SG.c2VzYW1lIGZvciBzZW5kZ3JpZA.4b1d7a4e"
SIGNER = generate_private_key(SECP256R1())
STRANGER = generate_private_key(SECP256R1())
VERIFICATION_KEY = base64.b64encode(
    SIGNER.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
).decode()
SIGNATURE = "X-Twilio-Email-Event-Webhook-Signature"
TIMESTAMP = "X-Twilio-Email-Event-Webhook-Timestamp"


def read(request: Request) -> Mail:
    assert (request.method, request.path) == ("POST", "/mail/send")
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    sent = json.loads(request.data)
    (person,) = sent["personalizations"]
    contents = {part["type"]: part["value"] for part in sent["content"]}
    return Mail(
        to=person["to"][0]["email"],
        subject=sent["subject"],
        text=contents["text/plain"],
        html=contents["text/html"],
        key=person["custom_args"]["anymail_id"],
    )


def accept() -> Response:
    return Response(b"", 202, headers={"X-Message-Id": "14c5d75ce93dfd64b469f1"})


def refuse() -> Response:
    error = {
        "message": "The from address does not match a verified Sender Identity.",
        "field": "from",
        "help": None,
    }
    return Response(json.dumps({"errors": [error]}), 403, content_type="application/json")


def report(content: dict[str, Any], signer: Any = SIGNER) -> Report:
    # SendGrid ends each of its lists of events so, and signs the end too.
    body = json.dumps([content], separators=(",", ":")).encode() + b"\r\n"
    moment = str(content["timestamp"] + 2)
    signature = signer.sign(moment.encode() + body, ECDSA(SHA256()))
    return Report(
        body,
        {
            "Content-Type": "application/json",
            SIGNATURE: base64.b64encode(signature).decode(),
            TIMESTAMP: moment,
        },
    )


def event(kind: str, message_id: str, **more: Any) -> dict[str, Any]:
    number = hashlib.sha256(f"{kind} {message_id}".encode()).digest()[:16]
    return {
        "email": RECIPIENT,
        "timestamp": 1772359205,
        "smtp-id": f"<{message_id}@example.com>",
        "event": kind,
        "anymail_id": message_id,
        "sg_event_id": base64.urlsafe_b64encode(number).decode().rstrip("="),
        "sg_message_id": "14c5d75ce93dfd64b469f1.filter0001.16648.5515E0B88.0",
        **more,
    }


def delivery(message_id: str) -> dict[str, Any]:
    return event("delivered", message_id, response="250 2.0.0 OK", tls=1, ip="203.0.113.7")


def bounce(kind: str, status: str, reason: str, classification: str) -> Any:
    return lambda message_id: report(
        event(
            "bounce",
            message_id,
            type=kind,
            status=status,
            reason=reason,
            bounce_classification=classification,
            tls=1,
            ip="203.0.113.7",
        )
    )


def deferred(message_id: str) -> Report:
    return report(event("deferred", message_id, attempt="5", response="451 4.7.1 try again later"))


def forged(message_id: str) -> dict[str, Report]:
    signed = report(delivery(message_id))
    without = {name: signed.headers[name] for name in ("Content-Type", TIMESTAMP)}
    changed = signed.body.replace(b'"delivered"', b'"spamreport"')
    later = str(int(signed.headers[TIMESTAMP]) + 1)
    return {
        "unsigned": Report(signed.body, without),
        "signed with another key": report(delivery(message_id), STRANGER),
        "with a malformed signature": Report(signed.body, {**signed.headers, SIGNATURE: "guess"}),
        "changed after signing": Report(changed, signed.headers),
        "with another time": Report(signed.body, {**signed.headers, TIMESTAMP: later}),
    }


PROVIDER = Provider(
    backend="durable.mail.providers.sendgrid.SendGridBackend",
    webhook="durable.mail.providers.sendgrid.SendGridWebhookView",
    environment={
        "SENDGRID_API_KEY": KEY,
        "SENDGRID_TRACKING_WEBHOOK_VERIFICATION_KEY": VERIFICATION_KEY,
    },
    anymail={
        "SENDGRID_API_KEY": KEY,
        "SENDGRID_TRACKING_WEBHOOK_VERIFICATION_KEY": VERIFICATION_KEY,
    },
    local=lambda url, seconds: {"SENDGRID_API_URL": url, "REQUESTS_TIMEOUT": seconds},
    read=read,
    accept=accept,
    message_id=lambda mail: mail.key,
    refuse=refuse,
    status_only=True,
    delivered=lambda message_id: report(delivery(message_id)),
    hard_bounce=bounce("bounce", "5.1.1", "550 5.1.1 unknown user", "Invalid Address"),
    soft_bounce=bounce("blocked", "4.7.1", "421 4.7.1 too many messages", "Reputation"),
    deferred=deferred,
    complained=lambda message_id: report(event("spamreport", message_id)),
    forged=forged,
)
