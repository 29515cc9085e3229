import pytest
from celery import current_app
from celery.exceptions import TaskRevokedError
from django.apps import apps
from django.contrib.auth import get_user_model
from django.db.models.functions import Now
from django.test import Client


@pytest.fixture
def login(db):
    """Return a client of a new account with some permissions of the console."""

    def login(*permissions, is_staff=True):
        email = f"{'-'.join(permissions) or 'none'}@example.com"
        user = get_user_model().objects.create_user(email, "a long password", is_staff=is_staff)
        found = apps.get_model("auth.Permission").objects.filter(
            content_type__app_label="console", codename__in=permissions
        )
        user.user_permissions.set(found)
        client = Client()
        client.force_login(user)
        client.user = user
        return client

    return login


@pytest.fixture
def viewer(login):
    return login("view_console")


@pytest.fixture
def operator(login):
    return login(
        "view_console",
        "pause_queues",
        "replay_work",
        "cancel_work",
        "stop_work",
        "move_work",
        "change_schedule",
        "run_work",
        "discard_work",
    )


@pytest.fixture
def task(db):
    """Return a new row of a task in a state."""
    fields_of = {
        "queued": {},
        "scheduled": {"next_attempt_at": "2999-01-01T00:00Z"},
        "retrying": {"first_failed_at": Now(), "next_attempt_at": "2999-01-01T00:00Z"},
        "running": {"status": "running", "lease_until": Now()},
        "done": {"status": "done", "finished_at": Now(), "started_at": Now()},
        "failed": {"status": "failed", "finished_at": Now(), "error_type": "ValueError"},
        "canceled": {
            "status": "failed",
            "finished_at": Now(),
            "error_type": TaskRevokedError.__name__,
        },
    }

    def task(state="queued", **fields):
        values = {"name": "tests.durable", "args": ["one"], "queue": "default"}
        return apps.get_model("tasks.TaskRun").objects.create(**values | fields_of[state] | fields)

    return task


@pytest.fixture
def mail(db):
    """Return a new row of a mail."""

    def mail(status="queued", **fields):
        values = {"template": "test_email", "to": "ann@example.com"}
        return apps.get_model("mail.Email").objects.create(status=status, **values | fields)

    return mail


@pytest.fixture
def queue(redis_server):
    """Return the name of an empty queue that no worker consumes."""
    queues = current_app.amqp.queues
    queues.add("unwatched")
    with current_app.connection_for_write() as broker:
        broker.default_channel.queue_purge("unwatched")
    yield "unwatched"
    del queues["unwatched"]
