import uuid
from datetime import timedelta

from celery.exceptions import TimeLimitExceeded
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from durable import leases
from durable.mail.models import Email, EmailEvent
from durable.mail.tasks import deliver_batch, deliver_email, purge_old_emails, requeue_stuck_emails
from durable.tasks.enqueue import queue_for

HOUR = timedelta(hours=1)


def test_the_sweeper_publishes_due_unclaimed_mails(make_email, published):
    unpublished = make_email()
    orphaned = make_email(status="sending", lease_until=Now() - HOUR)
    make_email(status="sending", lease_until=Now() + HOUR)
    make_email(next_attempt_at=Now() + HOUR)
    make_email(status="sent")

    assert requeue_stuck_emails() == 2

    assert {arguments for _, arguments in published} == {
        (str(unpublished.pk),),
        (str(orphaned.pk),),
    }


def test_the_sweeper_publishes_only_missing_messages(make_email, published, monkeypatch):
    old, _waiting = make_email(next_attempt_at=Now() - HOUR), make_email()
    monkeypatch.setattr(leases, "REQUEUE_MINIMUM", 0)
    queue = queue_for(deliver_email.name)
    monkeypatch.setattr("durable.requeue.queue_lengths", lambda: {queue: 1})

    assert requeue_stuck_emails() == 1
    assert published == [("mail.deliver_email", (str(old.pk),))]


def test_the_query_of_a_sweep_does_not_read_the_whole_table(db):
    Email.objects.bulk_create(Email(template="x", to="x", status="sent") for _ in range(500))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE mail_email")

    plan = Email.objects.due().order_by("next_attempt_at").values_list("pk").explain()

    assert "email_waiting" in plan or connection.vendor == "sqlite"
    assert "Seq Scan" not in plan
    assert "SCAN mail_email" not in plan


def test_a_batch_publishes_each_of_its_mails(published):
    # Of no mails, but valid: the running worker receives these messages, too.
    ids = [str(uuid.uuid4()) for _ in range(2)]

    deliver_batch(ids)

    assert published == [("mail.deliver_email", (email_id,)) for email_id in ids]


def test_old_finished_mails_are_deleted_with_their_events(make_email, settings):
    settings.EMAIL_RETENTION = timedelta(days=1)
    week_ago = Now() - timedelta(days=7)
    old = make_email(status="sent", queued_at=week_ago)
    old.events.create(kind="sent")
    others = {make_email(status="queued", queued_at=week_ago).pk, make_email(status="sent").pk}

    assert purge_old_emails() == 1

    assert set(Email.objects.values_list("pk", flat=True)) == others
    assert not EmailEvent.objects.exists()


def test_the_purge_reads_only_keys(make_email, settings):
    settings.EMAIL_RETENTION = timedelta(days=1)
    old = make_email(status="sent", queued_at=Now() - timedelta(days=7))
    old.attachments.create(name="a", content=b"a")
    make_email(resend_of=old)

    with CaptureQueriesContext(connection) as queries:
        assert purge_old_emails() == 1

    read = [query["sql"] for query in queries if query["sql"].startswith("SELECT")]
    assert not [sql for sql in read if '"context"' in sql or '"content"' in sql]


def test_a_hard_limit_is_no_crash(make_email):
    token = uuid.uuid4()
    email = make_email(attempts=1, status="sending", lease_until=Now() + HOUR, lease_token=token)

    deliver_email.on_failure(TimeLimitExceeded(40), "1", (str(email.pk),), {}, None)

    email.refresh_from_db()
    assert (email.status, email.crashes, email.lease_until) == ("queued", 0, None)
    assert [(event.kind, event.attempt) for event in email.events.all()] == [("retrying", 1)]


def test_a_hard_limit_after_the_lease_changes_nothing(make_email):
    email = make_email(attempts=1, status="sending", lease_until=Now() - HOUR)

    deliver_email.on_failure(TimeLimitExceeded(40), "1", (str(email.pk),), {}, None)

    email.refresh_from_db()
    assert (email.status, email.events.count()) == ("sending", 0)
