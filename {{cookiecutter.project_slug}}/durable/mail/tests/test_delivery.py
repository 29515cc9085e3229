import smtplib
import socket
import ssl
import threading
import time
import uuid
from datetime import timedelta

import pytest
from django.core.mail.backends.smtp import EmailBackend
from django.db.models.functions import Now

from durable.mail import connection, delivery, rendering
from durable.mail.models import Email, EmailEvent, Suppression
from durable.mail.tasks import deliver_email
from durable.tasks.models import FailedTask

HOUR = timedelta(hours=1)


def timeline(email):
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
    assert timeline(email) == [("sent", 1)]


def test_a_permanent_refusal_fails_at_once(make_email, mailbox):
    mailbox.respond = lambda _message: "554 rejected"
    email = make_email()

    delivery.deliver(str(email.pk))

    email.refresh_from_db()
    assert email.status == "failed"
    assert "554" in email.last_error
    assert timeline(email) == [("failed", 1)]


def test_a_temporary_refusal_delays_the_mail(make_email, mailbox, settings):
    settings.EMAIL_RETRY_INITIAL_DELAY = HOUR
    settings.EMAIL_RETRY_MAX_DELAY = HOUR
    mailbox.respond = lambda _message: "451 later"
    email = make_email()

    delay = delivery.deliver(str(email.pk))
    delivery.deliver(str(email.pk))

    email.refresh_from_db()
    assert HOUR / 2 <= delay <= HOUR
    assert (email.status, email.attempts) == ("queued", 1)
    assert not Email.objects.due().exists()
    assert timeline(email) == [("retrying", 1)]


def test_no_server_is_a_temporary_error(make_email, mailbox, settings):
    settings.EMAIL_PORT = 1  # no server listens there
    email = make_email()

    assert delivery.deliver(str(email.pk)) is not None

    email.refresh_from_db()
    assert "ConnectionRefusedError" in email.last_error


def test_exhausted_attempts_fail_the_mail_and_the_task(make_email, mailbox, settings):
    settings.EMAIL_MAX_ATTEMPTS = 3
    mailbox.respond = lambda _message: "451 later"
    email = make_email(attempts=2)

    deliver_email.apply((str(email.pk),))

    email.refresh_from_db()
    assert (email.status, email.attempts) == ("failed", 3)
    (failed,) = FailedTask.objects.all()
    assert (failed.name, failed.args) == ("mail.deliver_email", [str(email.pk)])
    assert "AttemptsExhaustedError" in failed.last_error
    assert "Traceback" in failed.traceback


def test_a_crash_of_the_last_attempt_fails_the_mail(make_email, mailbox, settings):
    settings.EMAIL_MAX_ATTEMPTS = 3
    email = make_email(attempts=3, status="sending", lease_until=Now() - HOUR)

    with pytest.raises(delivery.AttemptsExhaustedError):
        delivery.deliver(str(email.pk))

    email.refresh_from_db()
    assert email.status == "failed"
    assert mailbox.messages == []


def test_a_mail_that_crashed_three_workers_crashes_no_fourth(make_email, mailbox):
    email = make_email(attempts=2, crashes=2, status="sending", lease_until=Now() - HOUR)

    with pytest.raises(delivery.AttemptsExhaustedError, match="3 workers in a row"):
        delivery.deliver(str(email.pk))

    email.refresh_from_db()
    assert email.status == "failed"
    assert mailbox.messages == []


def test_a_crash_is_in_the_timeline(make_email, mailbox):
    email = make_email(attempts=1, status="sending", lease_until=Now() - HOUR)

    delivery.deliver(str(email.pk))

    assert timeline(email) == [("crashed", 1), ("sent", 2)]


def test_a_worker_without_the_lease_does_not_overwrite_the_outcome(
    make_email, mailbox, monkeypatch
):
    email, send = make_email(), connection.send

    def another_worker_is_faster(message):
        Email.objects.filter(pk=email.pk).update(status="delivered", lease_token=None)
        return send(message)

    monkeypatch.setattr(connection, "send", another_worker_is_faster)
    delivery.deliver(str(email.pk))

    email.refresh_from_db()
    assert email.status == "delivered"
    assert "lease had ended" in email.events.get().detail


def test_an_address_suppressed_since_gets_nothing(make_email, mailbox):
    email = make_email(to="Ann <ann@example.com>")
    Suppression.objects.create(address="ann@example.com")

    delivery.deliver(str(email.pk))

    email.refresh_from_db()
    assert email.status == "suppressed"
    assert mailbox.messages == []


def test_an_error_in_a_template_fails_the_mail(make_email, mailbox, monkeypatch):
    email = make_email()
    monkeypatch.setattr(rendering, "render_to_string", lambda *_: 1 / 0)

    delivery.deliver(str(email.pk))

    email.refresh_from_db()
    assert email.status == "failed"
    assert "ZeroDivisionError" in email.last_error


def test_a_template_that_this_worker_lacks_is_temporary(make_email, mailbox):
    email = make_email(template="new")

    assert delivery.deliver(str(email.pk)) is not None

    email.refresh_from_db()
    assert email.status == "queued"
    assert "TemplateDoesNotExist: mail/new" in email.last_error


@pytest.mark.parametrize(
    "error",
    [
        smtplib.SMTPConnectError(554, b"no mail from you"),
        smtplib.SMTPNotSupportedError("SMTP AUTH extension not supported by server."),
        smtplib.SMTPHeloError(501, b"who are you"),
        LookupError("the provider's library finds no credentials"),
        ssl.SSLCertVerificationError("certificate has expired"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_of_the_connection_is_not_the_mails(make_email, mailbox, monkeypatch, error):
    email = make_email()

    def refuse(_backend):
        raise error

    monkeypatch.setattr(EmailBackend, "open", refuse)
    assert delivery.deliver(str(email.pk)) is not None

    email.refresh_from_db()
    assert email.status == "queued"
    assert type(error).__name__ in email.last_error


def test_a_misspelled_backend_is_temporary(make_email, settings):
    email = make_email()
    settings.EMAIL_BACKEND = "durable.mail.backend.Misspelled"

    assert delivery.deliver(str(email.pk)) is not None

    email.refresh_from_db()
    assert email.status == "queued"


def test_the_connection_is_reused_and_reopened_when_broken(make_email, mailbox):
    first, second, third = (make_email() for _ in range(3))

    delivery.deliver(str(first.pk))
    delivery.deliver(str(second.pk))
    assert len(mailbox.connections) == 1

    connection.current.backend.connection.sock.shutdown(2)
    delivery.deliver(str(third.pk))
    assert len(mailbox.connections) == 2
    assert len(mailbox.messages) == 3


def test_the_message_id_of_a_sender_with_an_international_domain_is_ascii(make_email, mailbox):
    email = make_email(from_email="noreply@b\u00fccher.example")

    delivery.deliver(str(email.pk))

    assert mailbox.messages[0]["Message-ID"] == f"<{email.pk}@xn--bcher-kva.example>"


def test_a_report_that_overtakes_the_outcome_of_a_late_worker_stands(make_email, mailbox):
    email = make_email(status="sent", message_id="1")
    late = Email.objects.get(pk=email.pk)
    late.lease_token = uuid.uuid4()
    email.apply_report("report 1", EmailEvent.Kind.BOUNCED, "no such user")

    assert not late.mark_sent("2")

    email.refresh_from_db()
    assert (email.status, email.message_id) == ("bounced", "1")
    assert [kind for kind, _ in timeline(email)] == ["bounced", "sent"]


def test_a_message_id_longer_than_its_column_does_not_lose_the_outcome(make_email, monkeypatch):
    email = make_email()
    monkeypatch.setattr(connection, "send", lambda _message: "\x00" + "x" * 300)

    delivery.deliver(str(email.pk))

    email.refresh_from_db()
    assert email.status == "sent"
    assert len(email.message_id) == 255


def test_a_delivery_takes_few_queries(make_email, mailbox, django_assert_num_queries):
    email = make_email()

    # Claim, suppression, attachments; savepoint, outcome, event, release.
    with django_assert_num_queries(7):
        delivery.deliver(str(email.pk))


class SlowReader(threading.Thread):
    """An SMTP server for one mail, which waits before it reads the content."""

    pause = 2.0  # seconds

    def __init__(self):
        super().__init__(daemon=True)
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.content = b""

    def run(self):
        with self.server, self.server.accept()[0] as client:
            client.sendall(b"220 slow\r\n")
            while line := client.recv(1000):
                if line.upper() == b"DATA\r\n":
                    client.sendall(b"354 go on\r\n")
                    time.sleep(self.pause)
                    self.read(client)
                client.sendall(b"250 OK\r\n")

    def read(self, client):
        parts = [b""]
        while not parts[-1].endswith(b"\r\n.\r\n"):
            parts.append(client.recv(1_000_000))
            if not parts[-1]:
                break
        self.content = b"".join(parts)


@pytest.fixture
def slow_reader(mailbox, settings):
    server = SlowReader()
    settings.EMAIL_PORT = server.port
    connection.close()
    server.start()
    yield server
    connection.close()
    server.join(60)


def test_a_large_mail_has_more_time(make_email, slow_reader, settings):
    settings.EMAIL_TIMEOUT = 1.5  # second; the mail has 2.6 times as much
    email = make_email()
    email.attachments.create(
        name="a.bin", content_type="application/octet-stream", content=bytes(15_000_000)
    )

    delivery.deliver(str(email.pk))

    email.refresh_from_db()
    assert (email.status, email.last_error) == ("sent", "")
    assert len(slow_reader.content) > 20_000_000


def test_the_time_out_of_a_small_mail_stays(make_email, mailbox, settings):
    settings.EMAIL_TIMEOUT = 5
    connection.close()

    delivery.deliver(str(make_email().pk))

    assert connection.current.backend.connection.sock.gettimeout() == 5
