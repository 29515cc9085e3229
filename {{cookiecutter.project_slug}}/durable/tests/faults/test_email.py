"""Mails while Redis is away, of a killed worker, and to a mail server that drips."""

import asyncio
import threading
import time

import pytest

from durable.mail.api import send_email
from durable.mail.models import Email, EmailEvent
from durable.mail.tasks import deliver_email, requeue_stuck_emails
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

    assert took < 5
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
    assert took < 5
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


async def drip(server, _session, _envelope):
    """Respond with one byte after the other, and with no end."""
    while not server.transport.is_closing():
        server.transport.write(b"2")
        await asyncio.sleep(0.05)
    return "250 OK"


@pytest.fixture
def dripping(worker, mailbox, monkeypatch):
    monkeypatch.setattr(mailbox, "handle_DATA", drip)
    worker.kill()  # its connections are to the server before
    worker.wait()
    return monkeypatch


def events_of(email, kind):
    return lambda: email.events.filter(kind=kind).count()


def test_a_server_that_drips_crashes_no_worker(worker, mailbox, dripping):
    email = Email.objects.create(template="test_email", to="ann@example.com")
    deliver_email.apply_async((str(email.pk),), soft_time_limit=1, time_limit=3)

    wait_until(lambda: events_of(email, "retrying")() >= 2)
    dripping.undo()

    def sent():
        requeue_stuck_emails()
        return has_status(email, "sent")()

    wait_until(sent)
    assert not events_of(email, "crashed")()
    assert "Hard time limit" not in worker.output()
    assert len(mailbox.messages) == 1
