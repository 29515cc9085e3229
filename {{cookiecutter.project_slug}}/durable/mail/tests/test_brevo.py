import json

import pytest
from django.core.mail import send_mail

from durable.mail import connection, delivery

DUPLICATE = {"code": "duplicate_parameter", "message": "The idempotencyKey was used before"}


@pytest.fixture
def brevo(httpserver, settings):
    settings.EMAIL_BACKEND = "durable.mail.providers.brevo.BrevoBackend"
    settings.ANYMAIL = {"BREVO_API_KEY": "a key", "BREVO_API_URL": httpserver.url_for("/")}
    connection.close()
    yield httpserver.expect_request("/smtp/email", method="POST")
    connection.close()


def test_a_duplicate_is_sent(brevo, make_email):
    brevo.respond_with_json(DUPLICATE, status=400)
    email = make_email()

    delivery.deliver(str(email.pk))

    email.refresh_from_db()
    assert (email.status, email.last_error) == ("sent", "")
    assert email.message_id == f"<{email.pk}@example.com>"


@pytest.mark.parametrize(
    "content",
    [{"code": "invalid_parameter", "message": "no duplicate_parameter"}, ["duplicate_parameter"]],
)
def test_another_refusal_fails_the_mail(brevo, make_email, content):
    brevo.respond_with_json(content, status=400)
    email = make_email()

    delivery.deliver(str(email.pk))

    email.refresh_from_db()
    assert email.status == "failed"


def test_mail_without_a_row_has_no_key(brevo, httpserver):
    brevo.respond_with_json({"messageId": "<1@smtp-relay.mailin.fr>"}, status=201)

    send_mail("A report", "of an error", None, ["admin@example.com"])

    ((request, _),) = httpserver.log
    assert "headers" not in json.loads(request.data)
