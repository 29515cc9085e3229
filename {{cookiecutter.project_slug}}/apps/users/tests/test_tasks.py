from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.db.models.functions import Now
from structlog.testing import capture_logs

from apps.users.tasks import cleanup_sessions
from config.schedule import SCHEDULE

DAY = timedelta(days=1)


@pytest.mark.django_db
def test_only_expired_sessions_are_deleted():
    for key, age in (("expired", DAY), ("valid", -DAY)):
        Session.objects.create(session_key=key, expire_date=Now() - age)

    with capture_logs() as lines:
        cleanup_sessions()

    [line] = [line for line in lines if line["event"] == "purged"]
    assert (line["table"], line["deleted"]) == ("django_session", 1)
    assert Session.objects.get().session_key == "valid"


def test_beat_runs_it_every_night():
    entries = [entry for entry in SCHEDULE.values() if entry["task"] == cleanup_sessions.name]

    assert [(entry["schedule"].hour, entry["schedule"].minute) for entry in entries] == [
        ({4}, {17})
    ]
