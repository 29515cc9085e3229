"""Amazon SES's wire format: https://docs.aws.amazon.com/ses/latest/APIReference-V2/."""

import base64
import json
from email import message_from_bytes, policy
from typing import Any

from werkzeug import Request, Response

from durable.tests.providers import RECIPIENT, Mail, Provider, Report

KEY_ID = "AKIA4TESTKEY7EXAMPLE"
SECRET = "amazon:sesame"
REGION = "eu-central-1"
TOPIC = f"arn:aws:sns:{REGION}:123456789012:mail-reports"
MESSAGE_ID = "0107019ca5d3e1f0-4b7d2c86-9e1a-4f35-b0c8-6d2e7fa81359-000000"


def local(url: str, seconds: float) -> dict[str, Any]:
    return {
        "AMAZON_SES_CLIENT_PARAMS": {
            "region_name": REGION,
            "endpoint_url": url,
            "config": {
                "connect_timeout": seconds,
                "read_timeout": seconds,
                "retries": {"total_max_attempts": 1},
            },
        }
    }


def read(request: Request) -> Mail:
    assert (request.method, request.path) == ("POST", "/v2/email/outbound-emails")
    method, _, parts = request.headers["Authorization"].partition(" Credential=")
    assert method == "AWS4-HMAC-SHA256"
    key_id, _date, *scope = parts.partition(",")[0].split("/")
    assert (key_id, scope) == (KEY_ID, [REGION, "ses", "aws4_request"])
    sent = json.loads(request.data)
    message = message_from_bytes(
        base64.b64decode(sent["Content"]["Raw"]["Data"]), policy=policy.default
    )
    text, html = message.get_body(["plain"]), message.get_body(["html"])
    assert text
    assert html
    return Mail(
        to=sent["Destination"]["ToAddresses"][0],
        subject=message["Subject"],
        text=text.get_content(),
        html=html.get_content(),
    )


def accept() -> Response:
    return answer(200, MessageId=MESSAGE_ID)


def refuse() -> Response:
    return answer(
        400,
        "MessageRejected",
        message="Email address is not verified. The following identities failed the check in "
        f"region {REGION.upper()}: noreply@example.com",
    )


def reject_request() -> Response:
    return answer(400, "BadRequestException", message="Local address contains control or space")


def reject_domain() -> Response:
    return answer(
        400, "MailFromDomainNotVerifiedException", message="The MAIL FROM domain has no MX record"
    )


def bad_key() -> Response:
    return answer(
        403, "UnrecognizedClientException", message="The security token in the request is invalid."
    )


def account(error: str, reason: str) -> Any:
    return lambda: answer(400, error, message=reason)


def answer(status: int, error: str | None = None, **content: str) -> Response:
    headers = {"x-amzn-RequestId": "2f6c9d1e-7b40-4c8a-93d5-e1a0b4f7c268"}
    if error:
        headers["x-amzn-ErrorType"] = error
    return Response(json.dumps(content), status, headers, content_type="application/json")


def report(content: dict[str, Any], secret: str | None = SECRET) -> Report:
    notification_id = "9b1deb4d-3b7d-5bad-9bdd-2b0d7b3dcb6d"
    notification = {
        "Type": "Notification",
        "MessageId": notification_id,
        "TopicArn": TOPIC,
        "Message": json.dumps(content),
        "Timestamp": "2026-03-01T10:00:08.123Z",
        "SignatureVersion": "1",
        "Signature": "bm90IGxvb2tlZCBhdA==",
        "SigningCertURL": f"https://sns.{REGION}.amazonaws.com/SimpleNotificationService-0.pem",
        "UnsubscribeURL": f"https://sns.{REGION}.amazonaws.com/?Action=Unsubscribe",
    }
    headers = {
        "Content-Type": "text/plain; charset=UTF-8",
        "x-amz-sns-message-type": "Notification",
        "x-amz-sns-message-id": notification_id,
        "x-amz-sns-topic-arn": TOPIC,
    }
    if secret:
        headers["Authorization"] = "Basic " + base64.b64encode(secret.encode()).decode()
    return Report(json.dumps(notification).encode(), headers)


def notification_of(kind: str, message_id: str, **details: Any) -> dict[str, Any]:
    return {
        "notificationType": kind,
        "mail": {
            "timestamp": "2026-03-01T10:00:00.000Z",
            "messageId": message_id,
            "source": "noreply@example.com",
            "sourceArn": f"arn:aws:ses:{REGION}:123456789012:identity/example.com",
            "sendingAccountId": "123456789012",
            "destination": [RECIPIENT],
            "headersTruncated": False,
            "headers": [{"name": "Subject", "value": "A test"}],
            "commonHeaders": {"to": [RECIPIENT], "subject": "A test"},
        },
        kind.lower(): {"timestamp": "2026-03-01T10:00:07.000Z", **details},
    }


def delivery(message_id: str) -> dict[str, Any]:
    return notification_of(
        "Delivery",
        message_id,
        recipients=[RECIPIENT],
        processingTimeMillis=5012,
        smtpResponse="250 2.0.0 OK",
        reportingMTA="e226-7.smtp-out.eu-central-1.amazonses.com",
    )


def bounce(kind: str, subtype: str, status: str, diagnosis: str) -> Any:
    return lambda message_id: report(
        notification_of(
            "Bounce",
            message_id,
            feedbackId="0107019ca5d3f8a2-1c4e7b90-5d26-4e83-8f1b-a9c3d7e06452-000000",
            bounceType=kind,
            bounceSubType=subtype,
            bouncedRecipients=[
                {
                    "emailAddress": RECIPIENT,
                    "action": "failed",
                    "status": status,
                    "diagnosticCode": diagnosis,
                }
            ],
        )
    )


def complained(message_id: str) -> Report:
    return report(
        notification_of(
            "Complaint",
            message_id,
            feedbackId="0107019ca5d4a6b7-8e2f1d35-0c79-4b6a-92e4-f5b8c1d30a76-000000",
            complaintSubType=None,
            complainedRecipients=[{"emailAddress": RECIPIENT}],
            complaintFeedbackType="abuse",
            userAgent="ExampleFeedbackLoop/1.0",
        )
    )


def forge(message_id: str) -> dict[str, Report]:
    another_type = report(delivery(message_id))
    another_type.headers["x-amz-sns-message-type"] = "SubscriptionConfirmation"
    return {
        "without a secret": report(delivery(message_id), None),
        "with another secret": report(delivery(message_id), "amazon:guess"),
        "with headers of another report": another_type,
    }


PROVIDER = Provider(
    backend="durable.mail.providers.amazon_ses.AmazonSESBackend",
    webhook="durable.mail.providers.amazon_ses.AmazonSESWebhookView",
    environment={
        "AWS_ACCESS_KEY_ID": KEY_ID,
        "AWS_SECRET_ACCESS_KEY": "a secret access key",
        "AWS_DEFAULT_REGION": REGION,
        "WEBHOOK_SECRET": SECRET,
    },
    anymail={
        "AMAZON_SES_CLIENT_PARAMS": {
            "region_name": REGION,
            "config": {
                "connect_timeout": 10,
                "read_timeout": 10,
                "retries": {"total_max_attempts": 1},
            },
        },
        "WEBHOOK_SECRET": SECRET,
    },
    local=local,
    read=read,
    accept=accept,
    message_id=lambda _mail: MESSAGE_ID,
    refuse=refuse,
    rejects={
        "an invalid request": reject_request,
        "a domain that is not verified": reject_domain,
    },
    temporary={
        "a bad key": bad_key,
        "a used-up quota": account("ThrottlingException", "Daily message quota exceeded."),
        "a limit": account("LimitExceededException", "There are too many of these."),
        "a suspended account": account("AccountSuspendedException", "The account is suspended."),
        "paused sending": account("SendingPausedException", "Sending is paused."),
    },
    delivered=lambda message_id: report(delivery(message_id)),
    hard_bounce=bounce("Permanent", "General", "5.1.1", "smtp; 550 5.1.1 user unknown"),
    soft_bounce=bounce("Transient", "MailboxFull", "4.2.2", "smtp; 452 4.2.2 mailbox full"),
    complained=complained,
    forged=forge,
)
