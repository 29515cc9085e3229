"""Mails while Redis is away, and mails of a killed worker."""

import threading
import time

import pytest

from durable.mail.api import send_email
from durable.mail.models import Email, EmailEvent
from durable.mail.tasks import requeue_stuck_emails
from durable.testing.workers import CONCURRENCY, wait_until
from durable.tests.test_email_promises import has_status

pytestmark = pytest.mark.django_db(transaction=True)


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
        return "451 too late"

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
    # Only mails that the server had accepted when their worker died arrive twice.
    assert len(recipients) - len(emails) <= CONCURRENCY
    assert EmailEvent.objects.filter(kind="crashed").count() in range(1, CONCURRENCY + 1)
