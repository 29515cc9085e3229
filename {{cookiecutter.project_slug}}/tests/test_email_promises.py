"""The promises about mail, kept by a real worker, a real broker and a real SMTP server."""

import threading
import time
from collections.abc import Callable

import pytest
from celery import current_app
from django.core.management import CommandError, call_command
from django.db import transaction

from apps.mail.models import Email, EmailEvent
from apps.mail.services import send_email, send_emails
from apps.mail.tasks import requeue_stuck_emails
from tests import probes
from tests.workers import CONCURRENCY, wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def has_status(email: Email, status: str) -> Callable[[], bool]:
    def condition() -> bool:
        email.refresh_from_db()
        return email.status == status

    return condition


def test_a_worker_delivers_over_smtp(worker, mailbox):
    email = send_email("test_email", "Ann <ann@example.com>", {"queued_by": "a test"})

    wait_until(has_status(email, "sent"))

    (message,) = mailbox.messages
    assert message["To"] == "Ann <ann@example.com>"
    assert message["Message-ID"] == email.message_id == f"<{email.pk}@example.com>"
    assert "Queued by: a test" in message.get_body(("plain",)).get_content()
    assert "Queued by: a test" in message.get_body(("html",)).get_content()
    assert [(event.kind, event.attempt) for event in email.events.all()] == [("sent", 1)]


def test_a_rolled_back_transaction_sends_nothing(worker, mailbox):
    with transaction.atomic():
        send_email("test_email", "ann@example.com")
        transaction.set_rollback(True)
    marker = send_email("test_email", "marker@example.com")

    wait_until(has_status(marker, "sent"))

    assert Email.objects.count() == 1
    assert [message["To"] for message in mailbox.messages] == ["marker@example.com"]


def test_one_key_sends_once(worker, mailbox):
    first = send_email("test_email", "ann@example.com", key="order-7")
    second = send_email("test_email", "ann@example.com", key="order-7")
    marker = send_email("test_email", "marker@example.com")

    wait_until(has_status(first, "sent"))
    wait_until(has_status(marker, "sent"))

    assert first == second
    assert sorted(message["To"] for message in mailbox.messages) == [
        "ann@example.com",
        "marker@example.com",
    ]


def test_many_mails_share_a_connection_per_process(worker, mailbox):
    people = ((f"person{number}@example.com", None, None) for number in range(20))

    assert send_emails("test_email", people) == 20

    wait_until(lambda: len(mailbox.messages) == 20)
    wait_until(lambda: Email.objects.filter(status="sent").count() == 20)
    assert len(mailbox.connections) <= CONCURRENCY


def test_a_temporary_refusal_is_tried_again(worker, mailbox):
    answers = iter(["451 try later"])
    mailbox.respond = lambda _message: next(answers, None)
    email = send_email("test_email", "ann@example.com")

    wait_until(has_status(email, "sent"))

    assert [(event.kind, event.attempt) for event in email.events.all()] == [
        ("deferred", 1),
        ("sent", 2),
    ]
    assert len(mailbox.messages) == 1


def test_a_stopped_redis_delays_the_mail_and_not_the_caller(worker, mailbox, redis_server):
    redis_server.stop()
    started = time.monotonic()
    email = send_email("test_email", "ann@example.com")
    took = time.monotonic() - started
    redis_server.restart()

    wait_until(lambda: requeue_stuck_emails() == 1)
    wait_until(has_status(email, "sent"))

    assert took < 1
    assert len(mailbox.messages) == 1


def test_a_redis_that_hangs_delays_the_mail_and_not_the_caller(worker, mailbox, redis_server):
    redis_server.hang()
    started = time.monotonic()
    email = send_email("test_email", "ann@example.com")
    took = time.monotonic() - started
    redis_server.hang(hung=False)

    def sent():
        requeue_stuck_emails()
        return has_status(email, "sent")()

    wait_until(sent)
    assert took < 1
    assert len(mailbox.messages) == 1


def test_a_worker_killed_during_a_delivery_loses_nothing(worker, mailbox):
    begun, killed = threading.Event(), threading.Event()

    def stall_until_killed(_message):
        if killed.is_set():
            return None
        begun.set()
        killed.wait(10)
        return "451 nobody is there to read this"

    mailbox.respond = stall_until_killed
    emails = [send_email("test_email", f"person{number}@example.com") for number in range(5)]
    begun.wait(10)
    worker.kill()
    killed.set()
    worker.wait()

    def all_sent():
        requeue_stuck_emails()
        return Email.objects.filter(status="sent").count() == len(emails)

    wait_until(all_sent)

    recipients = [message["To"] for message in mailbox.messages]
    assert set(recipients) == {email.to for email in emails}
    # What the server had accepted when its sender died comes twice, and nothing else.
    assert len(recipients) - len(emails) <= CONCURRENCY
    assert EmailEvent.objects.filter(kind="lost").count() in range(1, CONCURRENCY + 1)


def test_the_command_reports_a_temporary_refusal(worker, mailbox):
    mailbox.respond = lambda _message: "451 try later"

    with pytest.raises(CommandError, match=r"put off after .* tried again by itself: .*451"):
        call_command("send_test_email", "ann@example.com")


def test_the_command_reports_the_delivery(worker, mailbox, capsys):
    call_command("send_test_email", "ann@example.com")

    assert "ann@example.com: sent after" in capsys.readouterr().out
    assert len(mailbox.messages) == 1


def test_a_worker_is_more_patient_with_its_broker_than_a_request(worker):
    probes.patience.delay()

    wait_until(probes.ran)
    assert float(probes.ran()[0]) > current_app.conf.broker_transport_options["socket_timeout"]
