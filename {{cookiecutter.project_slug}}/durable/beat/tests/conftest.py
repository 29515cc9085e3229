from datetime import timedelta
from importlib import import_module

import pytest
from celery import current_app
from celery.signals import after_task_publish, before_task_publish


@pytest.fixture(scope="session", autouse=True)
def all_tasks_are_loaded():
    # As in Beat. It sets up Django again, and with it logging, which must not happen during a test.
    import_module("durable.tasks.redaction").load_all_tasks()


@pytest.fixture(autouse=True)
def no_lease_expires_by_itself(settings):
    settings.BEAT_LEASE = timedelta(hours=1)


@pytest.fixture
def declare():
    declared = current_app.conf.beat_schedule
    yield lambda entries: current_app.conf.update(beat_schedule=entries)
    current_app.conf.update(beat_schedule=declared)


@pytest.fixture
def hourly(declare):
    declare({"hourly": {"task": "tests.hourly", "schedule": 3600.0}})


@pytest.fixture
def published():
    tasks = []

    def record(sender, **_):
        tasks.append(sender)

    after_task_publish.connect(record)
    yield tasks
    after_task_publish.disconnect(record)


@pytest.fixture
def while_publishing():
    receivers = []

    def connect(action):
        receivers.append(lambda **_: action())
        before_task_publish.connect(receivers[-1])

    yield connect
    for receiver in receivers:
        before_task_publish.disconnect(receiver)
