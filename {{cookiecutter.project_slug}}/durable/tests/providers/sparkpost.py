"""SparkPost's wire format: https://developers.sparkpost.com/api/."""

import base64
import json
from typing import Any

from werkzeug import Request, Response

from durable.tests.providers import RECIPIENT, Mail, Provider, Report

API_KEY = "3d9f5c0b7a1e48629cb4f0d71e6a83b5c2d94f07"
SECRET = "sparkpost:sesame"
TRANSMISSION = "7064953918274406213"
DEFAULT_URL = "https://api.sparkpost.com/api/v1/"


def read(request: Request) -> Mail:
    assert (request.method, request.path) == ("POST", "/transmissions/")
    assert request.headers["Authorization"] == API_KEY
    sent = json.loads(request.data)
    (recipient,) = sent["recipients"]
    content = sent["content"]
    return Mail(
        to=recipient["address"]["email"],
        subject=content["subject"],
        text=content["text"],
        html=content["html"],
    )


def accept() -> Response:
    return answer(200, results=results(accepted=1))


def refuse() -> Response:
    return wrong(400, "7001", "Invalid domain", "Unconfigured or unverified sending domain.")


def reject_recipient() -> Response:
    """Respond to a mail that goes to no recipient, with a status of success."""
    error = {
        "code": "1400",
        "message": "required field is missing",
        "description": "address.email is required for each recipient",
    }
    return answer(
        200,
        errors=[{"code": "2000", "message": "transmission created, but with validation errors"}],
        results={"rcpt_to_errors": [error], **results(accepted=0)},
    )


def reject_all_recipients() -> Response:
    return wrong(400, "5002", "At least one valid recipient is required", "")


def limited() -> Response:
    return wrong(420, "2102", "Exceed Sending Limit (daily)", "The limit of today is reached.")


def results(accepted: int) -> dict[str, Any]:
    return {
        "total_rejected_recipients": 1 - accepted,
        "total_accepted_recipients": accepted,
        "id": TRANSMISSION,
    }


def wrong(status: int, code: str, text: str, description: str) -> Response:
    error = {"message": text, "description": description, "code": code}
    return answer(status, errors=[error])


def answer(status: int, **content: Any) -> Response:
    return Response(json.dumps(content), status, content_type="application/json")


def report(content: dict[str, Any], secret: str | None = SECRET) -> Report:
    headers = {
        "Content-Type": "application/json",
        "X-MessageSystems-Batch-ID": "a4c81f6e-3b70-4d25-8f9a-60e2d7c5b913",
    }
    if secret:
        headers["Authorization"] = "Basic " + base64.b64encode(secret.encode()).decode()
    return Report(json.dumps([{"msys": {"message_event": content}}]).encode(), headers)


def event(kind: str, number: str, transmission: str, **more: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "event_id": number,
        "timestamp": "1772359205",
        "transmission_id": transmission,
        "message_id": "000443ee14578172be22",
        "customer_id": "1",
        "friendly_from": "noreply@example.org",
        "msg_from": "msprvs1=20512abc=bounces-1@sparkpostmail.com",
        "rcpt_to": RECIPIENT,
        "raw_rcpt_to": RECIPIENT,
        "rcpt_meta": {},
        "rcpt_tags": [],
        "rcpt_type": "to",
        "routing_domain": "example.com",
        "sending_ip": "192.0.2.17",
        "subject": "A test",
        **more,
    }


def delivery(transmission: str) -> dict[str, Any]:
    return event(
        "delivery",
        "92356927693813851",
        transmission,
        delv_method="esmtp",
        msg_size="1337",
        num_retries="0",
        queue_time="812",
    )


def failure(kind: str, number: str, bounce_class: str, code: str, reason: str) -> Any:
    return lambda transmission: report(
        event(
            kind,
            number,
            transmission,
            bounce_class=bounce_class,
            delv_method="esmtp",
            error_code=code,
            num_retries="0",
            raw_reason=reason,
            reason=reason,
        )
    )


def complained(transmission: str) -> Report:
    return report(
        event(
            "spam_complaint",
            "92356927693813855",
            transmission,
            fbtype="abuse",
            report_by="feedback.example.com",
            report_to="abuse.example.org",
            user_str="",
        )
    )


PROVIDER = Provider(
    backend="durable.mail.providers.sparkpost.SparkPostBackend",
    webhook="durable.mail.providers.sparkpost.SparkPostWebhookView",
    environment={"SPARKPOST_API_KEY": API_KEY, "WEBHOOK_SECRET": SECRET},
    anymail={
        "SPARKPOST_API_KEY": API_KEY,
        "SPARKPOST_API_URL": DEFAULT_URL,
        "WEBHOOK_SECRET": SECRET,
    },
    local=lambda url, seconds: {"SPARKPOST_API_URL": url, "REQUESTS_TIMEOUT": seconds},
    read=read,
    accept=accept,
    message_id=lambda _mail: TRANSMISSION,
    refuse=refuse,
    rejects={
        "a rejected recipient with status 200": reject_recipient,
        "no valid recipient": reject_all_recipients,
    },
    temporary={"a used-up limit": limited},
    delivered=lambda transmission: report(delivery(transmission)),
    hard_bounce=failure("bounce", "92356927693813852", "10", "550", "550 5.1.1 unknown user"),
    soft_bounce=failure("bounce", "92356927693813853", "22", "552", "552 5.2.2 mailbox full"),
    deferred=failure("delay", "92356927693813854", "70", "451", "451 4.3.0 try again later"),
    complained=complained,
    forged=lambda transmission: {
        "without a secret": report(delivery(transmission), None),
        "with another secret": report(delivery(transmission), "sparkpost:guess"),
    },
)
