import smtplib
import ssl
from datetime import timedelta

import pytest
from django.core.mail.backends.smtp import EmailBackend
from django.db.models.functions import Now

from durable.mail import delivery
from durable.mail.models import Email, Suppression
from durable.mail.tasks import deliver_email
from durable.tasks.models import FailedTask

HOUR = timedelta(hours=1)


def story(email):
    return [(event.kind, event.attempt) for event in email.events.all()]


def test_an_accepted_mail_is_sent_with_its_message_id(make_email, mailbox):
    email = make_email(to="Änn <ann@example.com>", reply_to=["bob@example.com"])
    email.attachments.create(name="a.txt", content_type="text/plain", content=b"abc")

    delivery.deliver(str(email.pk))

    email.refresh_from_db()
    assert (email.status, email.attempts, email.lease_token) == ("sent", 1, None)
    assert email.sent_at is not None
    (message,) = mailbox.messages
    assert message["Message-ID"] == email.message_id
    assert message["To"] == "Änn <ann@example.com>"
    assert message["Reply-To"] == "bob@example.com"
    assert [part.get_content() for part in message.iter_attachments()] == ["abc"]


def test_a_second_delivery_does_nothing(make_email, mailbox):
    email = make_email()

    delivery.deliver(str(email.pk))
    delivery.deliver(str(email.pk))

    assert len(mailbox.messages) == 1
    assert story(email) == [("sent", 1)]


def test_a_permanent_refusal_fails_at_once(make_email, mailbox):
    mailbox.respond = lambda _message: "554 we do not want it"
    email = make_email()

    delivery.deliver(str(email.pk))

    email.refresh_from_db()
    assert email.status == "failed"
    assert "554" in email.last_error
    assert story(email) == [("failed", 1)]


def test_a_temporary_refusal_waits_for_its_time(make_email, mailbox, settings):
    settings.EMAIL_RETRY_INITIAL_DELAY = HOUR
    settings.EMAIL_RETRY_MAX_DELAY = HOUR
    mailbox.respond = lambda _message: "451 later"
    email = make_email()

    with pytest.raises(delivery.Deferred) as deferred:
        delivery.deliver(str(email.pk))
    delivery.deliver(str(email.pk))

    email.refresh_from_db()
    assert HOUR.total_seconds() / 2 <= deferred.value.seconds <= HOUR.total_seconds()
    assert (email.status, email.attempts) == ("queued", 1)
    assert not Email.objects.due().exists()
    assert story(email) == [("deferred", 1)]


def test_no_server_is_a_temporary_error(make_email, mailbox, settings):
    settings.EMAIL_PORT = 1  # nobody listens there
    email = make_email()

    with pytest.raises(delivery.Deferred):
        delivery.deliver(str(email.pk))

    email.refresh_from_db()
    assert "ConnectionRefusedError" in email.last_error


def test_used_up_attempts_end_as_a_failed_task(make_email, mailbox, settings):
    settings.EMAIL_MAX_ATTEMPTS = 3
    mailbox.respond = lambda _message: "451 later"
    email = make_email(attempts=2)

    deliver_email.apply((str(email.pk),))

    email.refresh_from_db()
    assert (email.status, email.attempts) == ("failed", 3)
    (failed,) = FailedTask.objects.all()
    assert (failed.name, failed.args) == ("mail.deliver_email", [str(email.pk)])
    assert "AttemptsUsedUp" in failed.last_error
    assert "Traceback" in failed.traceback


def test_a_mail_whose_last_worker_was_lost_is_given_up(make_email, mailbox, settings):
    settings.EMAIL_MAX_ATTEMPTS = 3
    email = make_email(attempts=3, status="sending", lease_until=Now() - HOUR)

    with pytest.raises(delivery.AttemptsUsedUp):
        delivery.deliver(str(email.pk))

    email.refresh_from_db()
    assert email.status == "failed"
    assert mailbox.messages == []


def test_a_mail_that_has_killed_three_workers_kills_no_fourth(make_email, mailbox):
    email = make_email(attempts=2, crashes=2, status="sending", lease_until=Now() - HOUR)

    with pytest.raises(delivery.AttemptsUsedUp, match="3 workers in a row"):
        delivery.deliver(str(email.pk))

    email.refresh_from_db()
    assert email.status == "failed"
    assert mailbox.messages == []


def test_a_lost_worker_leaves_a_trace_in_the_timeline(make_email, mailbox):
    email = make_email(attempts=1, status="sending", lease_until=Now() - HOUR)

    delivery.deliver(str(email.pk))

    assert story(email) == [("lost", 1), ("sent", 2)]


def test_a_worker_that_comes_too_late_does_not_overwrite_the_outcome(
    make_email, mailbox, monkeypatch
):
    email, send = make_email(), delivery.connection.send

    def somebody_else_is_faster(message):
        Email.objects.filter(pk=email.pk).update(status="delivered", lease_token=None)
        return send(message)

    monkeypatch.setattr(delivery.connection, "send", somebody_else_is_faster)
    delivery.deliver(str(email.pk))

    email.refresh_from_db()
    assert email.status == "delivered"
    assert "lease had run out" in email.events.get().detail


def test_an_address_that_was_suppressed_meanwhile_gets_nothing(make_email, mailbox):
    email = make_email(to="Ann <ann@example.com>")
    Suppression.objects.create(address="ann@example.com")

    delivery.deliver(str(email.pk))

    email.refresh_from_db()
    assert email.status == "suppressed"
    assert mailbox.messages == []


def test_a_template_that_breaks_fails_the_mail_with_the_reason(make_email, mailbox, monkeypatch):
    email = make_email()
    monkeypatch.setattr(delivery.rendering, "render_to_string", lambda *_: 1 / 0)

    delivery.deliver(str(email.pk))

    email.refresh_from_db()
    assert email.status == "failed"
    assert "ZeroDivisionError" in email.last_error


def test_a_template_that_this_worker_has_not_yet_is_waited_for(make_email, mailbox):
    email = make_email(template="new")

    with pytest.raises(delivery.Deferred):
        delivery.deliver(str(email.pk))

    email.refresh_from_db()
    assert email.status == "queued"
    assert "TemplateDoesNotExist: mail/new" in email.last_error


@pytest.mark.parametrize(
    "error",
    [
        smtplib.SMTPConnectError(554, b"no mail from you"),
        smtplib.SMTPNotSupportedError("SMTP AUTH extension not supported by server."),
        smtplib.SMTPHeloError(501, b"who are you"),
        LookupError("a library of the provider's finds no credentials now"),
        ssl.SSLCertVerificationError("certificate has expired"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whoever_is_not_let_in_says_nothing_of_the_mail(make_email, mailbox, monkeypatch, error):
    email = make_email()

    def turn_away(_backend):
        raise error

    monkeypatch.setattr(EmailBackend, "open", turn_away)
    with pytest.raises(delivery.Deferred):
        delivery.deliver(str(email.pk))

    email.refresh_from_db()
    assert email.status == "queued"
    assert type(error).__name__ in email.last_error


def test_a_misspelt_backend_is_waited_for(make_email, settings):
    email = make_email()
    settings.EMAIL_BACKEND = "durable.mail.backend.Misspelt"

    with pytest.raises(delivery.Deferred):
        delivery.deliver(str(email.pk))

    email.refresh_from_db()
    assert email.status == "queued"


def test_the_connection_is_kept_and_reopened_when_it_broke(make_email, mailbox):
    first, second, third = (make_email() for _ in range(3))

    delivery.deliver(str(first.pk))
    delivery.deliver(str(second.pk))
    assert len(mailbox.connections) == 1

    from durable.mail.connection import kept  # noqa: PLC0415 - the state at this moment

    kept.backend.connection.sock.shutdown(2)
    delivery.deliver(str(third.pk))
    assert len(mailbox.connections) == 2
    assert len(mailbox.messages) == 3


def test_a_refused_login_waits_until_the_password_is_mended():
    from durable.mail.retry_policy import is_temporary  # noqa: PLC0415

    assert is_temporary(smtplib.SMTPAuthenticationError(535, b"no"))
