"""The promises about mail, with a real worker, a real broker and a real SMTP server."""

from collections.abc import Callable

import pytest
from celery import current_app
from django.core.management import CommandError, call_command
from django.db import transaction

from durable.mail.api import send_email, send_emails
from durable.mail.models import Email
from durable.testing.workers import CONCURRENCY, wait_until
from durable.tests import probes

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


def test_a_temporary_refusal_is_retried(worker, mailbox):
    answers = iter(["451 try later"])
    mailbox.respond = lambda _message: next(answers, None)
    email = send_email("test_email", "ann@example.com")

    wait_until(has_status(email, "sent"))

    assert [(event.kind, event.attempt) for event in email.events.all()] == [
        ("retrying", 1),
        ("sent", 2),
    ]
    assert len(mailbox.messages) == 1


def test_the_command_reports_a_temporary_refusal(worker, mailbox):
    mailbox.respond = lambda _message: "451 try later"

    with pytest.raises(CommandError, match=r"first attempt failed after .* will retry: .*451"):
        call_command("send_test_email", "ann@example.com")


def test_the_command_reports_the_delivery(worker, mailbox, capsys):
    call_command("send_test_email", "ann@example.com")

    assert "ann@example.com: sent after" in capsys.readouterr().out
    assert len(mailbox.messages) == 1


def test_a_worker_waits_longer_for_its_broker_than_a_request(worker):
    probes.patience.delay()

    wait_until(probes.ran)
    assert float(probes.ran()[0]) > current_app.conf.broker_transport_options["socket_timeout"]
