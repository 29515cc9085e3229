import threading
import time
from datetime import timedelta

import pytest
from django.db import close_old_connections, connection
from django.db.models.functions import Now

from durable import leases
from durable.mail.models import Email

LEASE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def make(**fields):
    return Email.objects.create(template="test_email", to="ann@example.com", **fields)


@pytest.mark.django_db
def test_a_claim_counts_the_attempt_and_sets_the_lease():
    row = Email.objects.claim(make().pk, LEASE)

    assert (row.status, row.attempts) == ("sending", 1)
    assert row.lease_until > row.queued_at


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fields", "claimable"),
    [
        ({}, True),
        ({"next_attempt_at": Now() + HOUR}, False),
        ({"status": "sending", "lease_until": Now() + HOUR}, False),
        ({"status": "sending", "lease_until": Now() - HOUR}, True),
        ({"status": "sent"}, False),
        ({"status": "canceled"}, False),
    ],
    ids=["waiting", "not due", "held", "orphaned", "done", "canceled"],
)
def test_only_due_rows_can_be_claimed(fields, claimable):
    assert bool(Email.objects.claim(make(**fields).pk, LEASE)) is claimable


@pytest.mark.django_db
def test_only_the_holder_of_the_lease_writes_the_outcome():
    pk = make().pk
    late = Email.objects.claim(pk, -LEASE)
    holder = Email.objects.claim(pk, LEASE)

    assert not late.finish(status="failed")
    assert holder.finish(status="sent")

    row = Email.objects.get(pk=pk)
    assert (row.status, row.lease_token, row.lease_until) == ("sent", None, None)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("messages", "found"), [(0, 4), (2, 3), (9, 1)], ids=["lost", "some are lost", "waiting"]
)
def test_the_oldest_rows_count_as_those_without_a_message(messages, found, monkeypatch):
    monkeypatch.setattr(leases, "REQUEUE_LIMIT", 4)
    monkeypatch.setattr(leases, "REQUEUE_MINIMUM", 1)
    rows = [make(next_attempt_at=Now() - age * HOUR) for age in (1, 5, 3, 2, 4)]
    oldest_first = [rows[index].pk for index in (1, 4, 2, 3, 0)]

    missing = Email.objects.due().without_message(messages)

    assert list(missing.values_list("pk", flat=True)) == oldest_first[:found]


@pytest.mark.django_db
def test_the_lease_begins_with_the_claim():
    def stand_still(execute, sql, *rest):
        if sql.startswith("UPDATE"):
            time.sleep(0.6)
        return execute(sql, *rest)

    with connection.execute_wrapper(stand_still):
        row = Email.objects.claim(make().pk, timedelta(seconds=0.5))

    assert not Email.objects.due().filter(pk=row.pk).exists()


@pytest.mark.django_db(transaction=True)
def test_of_many_claims_at_once_one_wins():
    pk = make().pk
    together, won = threading.Barrier(8), []

    def claim():
        together.wait()
        if row := Email.objects.claim(pk, LEASE):
            won.append(row.lease_token)
        close_old_connections()
        connection.close()

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    row = Email.objects.get(pk=pk)
    assert won == [row.lease_token]
    assert row.attempts == 1
