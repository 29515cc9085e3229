"""What the service promises about mail and durable tasks.

Each test uses a real worker, database, Redis and SMTP server, and breaks one of them.
"""

import time
from threading import Event

import pytest
from celery import current_app
from django.db import transaction
from django.db.models.functions import Now
from django.urls import reverse

from durable.api import Email, FailedTask, TaskRun, send_email
from durable.testing.runlog import ran
from durable.testing.workers import wait_until
from tests import probes

pytestmark = pytest.mark.django_db(transaction=True)

ANN = "ann@promises.example"


def send(to=ANN, **options):
    return send_email("test_email", to, {"queued_by": "a test"}, **options)


def all_sent():
    return not Email.objects.exclude(status="sent").exists()


def all_done():
    return not TaskRun.objects.exclude(status="done").exists()


def end_leases():
    """End the leases of a killed worker; otherwise the next one waits for that for minutes.

    It may have had more than the test's own row: another test's last mail, for example.
    """
    for model in (TaskRun, Email):
        model.objects.update(lease_until=Now())


def requeue():
    """Do what Beat does every minute: publish again what is due and was not started."""
    for name in ("mail.requeue_stuck_emails", "tasks.requeue_stuck_runs"):
        current_app.tasks[name]()


def wait_until_recovered():
    wait_until(lambda: requeue() or (all_sent() and all_done()))


def received(mailbox):
    """Return the mails of these tests; the worker may still deliver another test's last mail."""
    return [message for message in mailbox.messages if "@promises.example" in message["To"]]


def recipients(mailbox):
    return [message["To"] for message in received(mailbox)]


def test_a_worker_delivers_a_mail(worker, mailbox):
    email = send()

    wait_until(all_sent)

    (message,) = received(mailbox)
    email.refresh_from_db()
    assert (message["To"], message["Message-ID"]) == (ANN, email.message_id)
    assert "Queued by: a test" in message.get_body(("plain",)).get_content()


def test_a_worker_runs_a_durable_task(worker):
    probes.work.delay("one")

    wait_until(all_done)

    assert ran() == ["one"]


def test_a_rolled_back_transaction_sends_and_runs_nothing(worker, mailbox):
    with transaction.atomic():
        send("nobody@promises.example")
        probes.work.delay("never")
        transaction.set_rollback(True)
    send(ANN)
    probes.work.delay("always")

    wait_until(lambda: all_sent() and all_done())

    assert (recipients(mailbox), ran()) == ([ANN], ["always"])


def test_calls_with_the_same_key_send_one_mail(worker, mailbox):
    assert send(key="order-7") == send(key="order-7")

    wait_until(all_sent)

    assert recipients(mailbox) == [ANN]


def test_a_mail_is_retried_after_a_temporary_error(worker, mailbox):
    replies = iter(["451 try later"])
    mailbox.respond = lambda _message: next(replies, None)
    email = send()

    wait_until(all_sent)

    email.refresh_from_db()
    assert email.attempts == 2
    assert recipients(mailbox) == [ANN]


def test_a_killed_worker_loses_no_mail(worker, mailbox):
    arrived, killed = Event(), Event()

    def stall_first(_message):
        if killed.is_set():
            return None
        arrived.set()
        killed.wait(10)
        return "451 the sender is dead"

    mailbox.respond = stall_first
    send()
    assert arrived.wait(10)
    worker.kill()
    killed.set()
    end_leases()
    worker.wait()

    wait_until_recovered()

    assert recipients(mailbox) == [ANN]


def test_a_killed_worker_loses_no_durable_task(worker):
    probes.work.delay("one", first_takes=60)
    wait_until(ran)
    worker.kill()
    end_leases()
    worker.wait()

    wait_until_recovered()

    assert ran() == ["one", "one"]


def test_a_flushed_redis_loses_nothing(worker, mailbox, redis_server):
    worker.kill()
    send()
    probes.work.delay("one")
    redis_server.flush()
    worker.wait()

    wait_until_recovered()

    assert (recipients(mailbox), ran()) == ([ANN], ["one"])


def test_a_stopped_redis_delays_no_caller_and_loses_nothing(worker, mailbox, redis_server):
    redis_server.stop()
    started = time.monotonic()
    send()
    probes.work.delay("one")
    seconds = time.monotonic() - started
    redis_server.restart()

    wait_until_recovered()

    assert seconds < 5
    assert (recipients(mailbox), ran()) == ([ANN], ["one"])


def test_the_admin_shows_a_task_that_failed_without_its_secrets(worker, admin_client):
    probes.fail.delay(password="sesame")

    wait_until(FailedTask.objects.exists)

    url = reverse("admin:tasks_failedtask_change", args=[FailedTask.objects.get().pk])
    page = admin_client.get(url).content.decode()
    assert "probes.fail" in page
    assert "this task always fails" in page
    assert "sesame" not in page
