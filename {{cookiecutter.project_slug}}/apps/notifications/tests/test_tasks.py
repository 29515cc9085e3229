from datetime import timedelta

import pytest
from django.conf import settings
from django.db import connection
from django.db.models.functions import Now

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


def test_old_notifications_are_deleted_read_or_not(make):
    make("read and old", OLD, read_at=Now())
    make("unread and old", OLD)
    make("young", OLD - 2 * DAY, read_at=Now())

    assert [purge_old_notifications(), purge_old_notifications()] == [2, 0]

    assert Notification.objects.get().title == "young"


def test_the_purge_does_not_read_the_whole_table(make, django_assert_num_queries):
    ann = make("young", DAY).user
    Notification.objects.bulk_create(Notification(user=ann) for _ in range(500))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE notifications_notification")

    with django_assert_num_queries(1) as queries:
        purge_old_notifications()

    assert "notifications_by_age" in plan_of(queries[0])


def test_beat_runs_it_every_night():
    entries = [
        entry for entry in SCHEDULE.values() if entry["task"] == purge_old_notifications.name
    ]

    assert [(entry["schedule"].hour, entry["schedule"].minute) for entry in entries] == [
        ({3}, {57})
    ]
