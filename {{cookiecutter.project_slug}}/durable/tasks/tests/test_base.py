import re
import time
import traceback
from datetime import timedelta

import pytest
from celery import current_app
from celery.contrib.django.task import DjangoTask
from celery.exceptions import MaxRetriesExceededError, Reject
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from kombu.exceptions import OperationalError

from durable.tasks.base import Task
from durable.tasks.models import TaskRun
from durable.tasks.tasks import heartbeat
from durable.tasks.validation import validate_start
from durable.tests import probes

NAME = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")  # app.what_it_does


def test_every_task_of_the_service_has_the_base_class_and_a_name_of_its_own():
    current_app.loader.import_default_modules()
    ours = [task for name, task in current_app.tasks.items() if not name.startswith("celery.")]

    assert ours
    assert all(isinstance(task, Task) for task in ours)
    assert [task.name for task in ours if not NAME.fullmatch(task.name)] == []


@pytest.mark.django_db
def test_a_model_instance_is_refused_with_what_to_pass(django_user_model):
    user = django_user_model.objects.create_user("ann@example.com")

    with pytest.raises(TypeError, match=r"tasks\.heartbeat: .* pass its id and load the User"):
        heartbeat.delay(user)
    with pytest.raises(TypeError, match="pass its id"):
        heartbeat.delay_on_commit(user=user)


@pytest.mark.parametrize(
    "start",
    [{"countdown": 365 * 24 * 3600}, {"eta": timezone.now() + timedelta(days=30)}],
    ids=["countdown", "eta"],
)
def test_a_start_beyond_the_visibility_time_out_is_refused(start):
    for publish in (heartbeat.apply_async, heartbeat.apply_async_on_commit):
        with pytest.raises(ValueError, match="fits into the broker's visibility time-out"):
            publish(**start)


def test_a_long_task_may_wait_for_as_long_as_a_retry_does_and_no_longer():
    longest = timedelta(seconds=settings.TASK_RETRY_MAX_DELAY)

    validate_start(probes.report, longest)
    with pytest.raises(ValueError, match="the longest is 0:10:00"):
        probes.report.apply_async(eta=timezone.now() + longest + timedelta(minutes=1))


@pytest.mark.django_db
def test_a_durable_task_is_a_row_before_the_commit():
    with transaction.atomic():
        probes.durable.apply_async_on_commit(("one",), countdown=600)
        assert TaskRun.objects.get().args == ["one"]


@pytest.mark.django_db
def test_a_broker_that_is_down_stops_no_later_callback_of_a_commit(
    redis_server, django_capture_on_commit_callbacks
):
    redis_server.stop()
    after = []

    with django_capture_on_commit_callbacks(execute=True):
        heartbeat.apply_async_on_commit(countdown=1)
        transaction.on_commit(lambda: after.append("reached"))

    assert after == ["reached"]


def test_a_broker_that_is_down_raises_or_is_logged(redis_server):
    redis_server.stop()
    started = time.monotonic()

    assert heartbeat.publish_or_log() is False
    with pytest.raises(OperationalError):
        heartbeat.delay()
    assert time.monotonic() - started < 5


def test_a_broker_that_is_down_is_logged_without_the_arguments(redis_server, caplog):
    redis_server.stop()

    assert probes.echo.publish_or_log(("sesame",)) is False

    assert "broker_unreachable" in caplog.text
    assert "sesame" not in caplog.text


@pytest.fixture
def running():
    """The heartbeat, as if a worker ran it."""
    heartbeat.push_request(id="a-task", args=(), kwargs={}, called_directly=False, retries=0)
    yield heartbeat
    heartbeat.pop_request()


@pytest.mark.parametrize(("retry", "kept"), [(Task.retry, True), (DjangoTask.retry, False)])
def test_a_retry_that_cannot_be_published_is_requeued_and_celery_would_drop_it(
    redis_server, running, retry, kept
):
    redis_server.stop()

    with pytest.raises(Reject) as rejected:
        retry(running)
    assert rejected.value.requeue is kept


def test_a_retry_that_can_never_be_published_is_not_requeued(running):
    with pytest.raises(Reject) as rejected:
        running.retry(countdown=365 * 24 * 3600)
    assert not rejected.value.requeue


@pytest.fixture
def giving_up():
    """A task that may not be tried again, as if a worker ran it."""
    kwargs = {"password": "sesame"}
    probes.giving_up.push_request(args=(7,), kwargs=kwargs, called_directly=False, retries=0)
    yield probes.giving_up
    probes.giving_up.pop_request()


def test_the_last_attempt_reports_its_error_and_no_arguments(giving_up):
    def work():
        try:
            int("no number")
        except ValueError:
            giving_up.retry()

    with pytest.raises(MaxRetriesExceededError, match="attempt 1 was the last") as gave_up:
        work()

    texts = "".join(traceback.format_exception(gave_up.value))
    assert "no number" in texts
    assert "sesame" not in texts


def test_the_last_attempt_raises_the_error_that_it_was_given(giving_up):
    with pytest.raises(MaxRetriesExceededError, match="mine"):
        giving_up.retry(exc=MaxRetriesExceededError("mine"))


def test_limits_come_from_the_queue():
    assert 0 < heartbeat.soft_time_limit < heartbeat.time_limit
