import hmac
import json

import pytest
from anymail.exceptions import AnymailWebhookValidationFailure

from durable.mail.models import Suppression
from durable.mail.providers.mailersend import MailerSendWebhookView

SECRET, TEST_SECRET = b"sesame", MailerSendWebhookView.TEST_SECRET
NAME = "69a40e605f010335ed0706a1"
RECIPIENT = "ann@example.com"
TEST_CALL = {
    "type": "webhook.test",
    "message": "This is a ping test message",
    "created_at": "2026-10-01T10:00:00.577080Z",
}
SUPPRESSED = {
    "type": "activity.suppressed",
    "created_at": "2026-10-01T10:00:05.000000Z",
    "data": {
        "id": "69a40e65165fe0d8db028806",
        "message_id": NAME,
        "type": "suppressed",
        "recipient": RECIPIENT,
        "meta": {"suppression_reason": "on_hold"},
    },
}
OLD_BOUNCE = {
    "type": "activity.hard_bounced",
    "created_at": "2026-03-01T10:00:06.298647Z",
    "data": {
        "object": "activity",
        "id": "69a40e655c00f8e52001fc02",
        "type": "hard_bounced",
        "created_at": "2026-03-01T10:00:05.258000Z",
        "email": {
            "status": "rejected",
            "tags": None,
            "message": {"object": "message", "id": NAME},
            "recipient": {"object": "recipient", "email": RECIPIENT},
        },
        "morph": {"object": "recipient_bounce", "reason": "Host or domain name not found"},
    },
}


@pytest.fixture
def post(rf, settings):
    settings.ANYMAIL = {"MAILERSEND_SIGNING_SECRET": SECRET.decode()}

    def post(content, secret):
        body = json.dumps(content).encode()
        signature = hmac.digest(secret, body, "sha256").hex()
        request = rf.post(
            "/", body, content_type="application/json", headers={"Signature": signature}
        )
        return MailerSendWebhookView.as_view()(request).status_code

    return post


@pytest.fixture
def email(make_email):
    return make_email(status="sent", message_id=NAME, to=RECIPIENT)


@pytest.mark.parametrize("secret", [TEST_SECRET, SECRET], ids=["the public one", "the account's"])
def test_the_test_call_succeeds(post, secret):
    assert post(TEST_CALL, secret) == 200


@pytest.mark.parametrize(
    ("content", "secret"),
    [(TEST_CALL, b"a guess"), (SUPPRESSED, TEST_SECRET), ([TEST_CALL], TEST_SECRET)],
    ids=["another secret", "a report with the public secret", "not an object"],
)
def test_the_public_secret_signs_only_the_test_call(post, email, content, secret):
    with pytest.raises(AnymailWebhookValidationFailure):
        post(content, secret)

    email.refresh_from_db()
    assert email.status == "sent"


def test_a_mail_on_hold_has_failed(post, email):
    assert post(SUPPRESSED, SECRET) == 200

    email.refresh_from_db()
    assert (email.status, email.events.get().detail) == ("failed", "blocked on_hold")


def test_reports_of_webhooks_1_are_read(post, email):
    assert post(OLD_BOUNCE, SECRET) == 200

    email.refresh_from_db()
    assert email.status == "bounced"
    assert Suppression.objects.get().address == RECIPIENT
