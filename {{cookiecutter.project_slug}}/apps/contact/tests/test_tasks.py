from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now

from apps.contact.models import Submission
from apps.contact.tasks import RETENTION, cleanup_old_submissions
from config.schedule import SCHEDULE
from durable.testing.plans import plan_of

DAY = timedelta(days=1)
OLD = RETENTION + DAY


@pytest.fixture
def make(db):
    def make(subject, age, **fields):
        return Submission.objects.create(subject=subject, created_at=Now() - age, **fields)

    return make


def test_only_old_messages_that_were_read_are_deleted(make):
    make("read and old", OLD, read_at=Now())
    make("unread and old", OLD)
    make("read and young", RETENTION - DAY, read_at=Now())

    assert [cleanup_old_submissions(), cleanup_old_submissions()] == [1, 0]

    assert {submission.subject for submission in Submission.objects.all()} == {
        "unread and old",
        "read and young",
    }


def test_the_cleanup_does_not_read_the_whole_table(db, django_assert_num_queries):
    Submission.objects.bulk_create(Submission(subject=str(n)) for n in range(500))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE contact_submission")

    with django_assert_num_queries(1) as queries:
        cleanup_old_submissions()

    assert "contact_read_by_age" in plan_of(queries[0])


def test_beat_runs_it_every_night():
    entries = [
        entry for entry in SCHEDULE.values() if entry["task"] == cleanup_old_submissions.name
    ]

    assert [(entry["schedule"].hour, entry["schedule"].minute) for entry in entries] == [({2}, {0})]
