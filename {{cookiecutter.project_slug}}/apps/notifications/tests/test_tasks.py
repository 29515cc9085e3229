from datetime import timedelta

import pytest
from django.conf import settings
from django.db import connection
from django.db.models.functions import Now

from apps.notifications import tasks
from apps.notifications.models import Notification
from apps.notifications.tasks import purge_old_notifications
from apps.users.models import User
from config.schedule import SCHEDULE
from durable.testing.plans import plan_of

DAY = timedelta(days=1)
OLD = settings.NOTIFICATION_RETENTION + DAY


@pytest.fixture
def make(db):
    ann = User.objects.create_user("ann@example.com")

    def make(title, age, **fields):
        return Notification.objects.create(user=ann, title=title, created_at=Now() - age, **fields)

    return make


def test_what_is_old_leaves_read_or_not_and_all_else_stays(make):
    make("read and old", OLD, read_at=Now())
    make("unread and old", OLD)
    make("young", OLD - 2 * DAY, read_at=Now())

    assert purge_old_notifications() == 2

    assert Notification.objects.get().title == "young"


def test_a_second_run_finds_nothing_to_do(make):
    make("old", OLD)

    assert [purge_old_notifications(), purge_old_notifications()] == [1, 0]


def test_many_leave_in_batches(make, monkeypatch, django_assert_num_queries):
    monkeypatch.setattr(tasks, "PURGED_AT_ONCE", 2)
    for number in range(5):
        make(f"number {number}", OLD)

    with django_assert_num_queries(4 + 3):  # looks and deletes
        assert purge_old_notifications() == 5


def test_the_purge_does_not_read_the_whole_table(make, django_assert_num_queries):
    ann = make("young", DAY).user
    Notification.objects.bulk_create(Notification(user=ann) for _ in range(500))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE notifications_notification")

    with django_assert_num_queries(1) as queries:
        purge_old_notifications()

    assert "notifications_by_age" in plan_of(queries[0])


def test_it_runs_every_night():
    entries = [
        entry for entry in SCHEDULE.values() if entry["task"] == purge_old_notifications.name
    ]

    assert [(entry["schedule"].hour, entry["schedule"].minute) for entry in entries] == [
        ({3}, {57})
    ]
