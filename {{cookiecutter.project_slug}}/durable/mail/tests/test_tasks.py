import uuid
from datetime import timedelta

from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from durable import leases
from durable.mail.models import Email, EmailEvent
from durable.mail.tasks import deliver_batch, deliver_email, purge_old_emails, requeue_stuck_emails
from durable.tasks.enqueue import queue_for

HOUR = timedelta(hours=1)


def test_the_sweeper_rings_for_what_is_due_and_unclaimed(make_email, published):
    forgotten = make_email()
    lost = make_email(status="sending", lease_until=Now() - HOUR)
    make_email(status="sending", lease_until=Now() + HOUR)
    make_email(next_attempt_at=Now() + HOUR)
    make_email(status="sent")

    assert requeue_stuck_emails() == 2

    assert {arguments for _, arguments in published} == {(str(forgotten.pk),), (str(lost.pk),)}


def test_the_sweeper_rings_for_no_more_than_the_queue_misses(make_email, published, monkeypatch):
    old, _waiting = make_email(next_attempt_at=Now() - HOUR), make_email()
    monkeypatch.setattr(leases, "REQUEUE_MINIMUM", 0)
    queue = queue_for(deliver_email.name)
    monkeypatch.setattr("durable.requeue.queue_lengths", lambda: {queue: 1})

    assert requeue_stuck_emails() == 1
    assert published == [("mail.deliver_email", (str(old.pk),))]


def test_the_sweepers_query_does_not_read_the_whole_table(db):
    Email.objects.bulk_create(Email(template="x", to="x", status="sent") for _ in range(500))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE mail_email")

    plan = Email.objects.due().order_by("next_attempt_at").values_list("pk").explain()

    assert "email_waiting" in plan or connection.vendor == "sqlite"
    assert "Seq Scan" not in plan
    assert "SCAN mail_email" not in plan


def test_a_batch_rings_for_each_of_its_mails(published):
    # Of no mail: the worker gets these messages too, and what it could not read would be a dead letter.
    ids = [str(uuid.uuid4()) for _ in range(2)]

    deliver_batch(ids)

    assert published == [("mail.deliver_email", (email_id,)) for email_id in ids]


def test_old_mails_leave_with_their_events_once_their_story_has_ended(make_email, settings):
    settings.EMAIL_RETENTION = timedelta(days=1)
    week_ago = Now() - timedelta(days=7)
    old = make_email(status="sent", queued_at=week_ago)
    old.events.create(kind="sent")
    kept = {make_email(status="queued", queued_at=week_ago).pk, make_email(status="sent").pk}

    assert purge_old_emails() == 1

    assert set(Email.objects.values_list("pk", flat=True)) == kept
    assert not EmailEvent.objects.exists()


def test_the_purge_reads_nothing_of_the_mails_but_their_keys(make_email, settings):
    settings.EMAIL_RETENTION = timedelta(days=1)
    old = make_email(status="sent", queued_at=Now() - timedelta(days=7))
    old.attachments.create(name="a", content=b"a")
    make_email(resend_of=old)

    with CaptureQueriesContext(connection) as queries:
        assert purge_old_emails() == 1

    read = [query["sql"] for query in queries if query["sql"].startswith("SELECT")]
    assert not [sql for sql in read if '"context"' in sql or '"content"' in sql]
