"""What a real worker logs: each line is JSON in production, and names the task and its work."""

import json
import os
import signal

import pytest
import redis
import structlog
from celery import current_app
from django.conf import settings

from durable.tasks.models import TaskRun
from durable.testing.runlog import forget
from durable.testing.workers import Worker, exists, wait_until
from durable.tests import probes

pytestmark = pytest.mark.django_db(transaction=True)

REQUEST = "request-7"
QUEUE = settings.CELERY_BROKER_TRANSPORT_OPTIONS["global_keyprefix"] + "default"
FIELDS = ("task", "queue", "attempt", "correlation_id", "duration_ms")


@pytest.fixture
def own_worker(request, running_worker):
    if running_worker:  # it would take the tasks
        running_worker.kill()
    quiet = {"CELERY_QUIET": "1", "PYTHONWARNINGS": "ignore"}
    worker = Worker(LOG_FORMAT=getattr(request, "param", "json"), **quiet)
    worker.start(as_in_production=True)
    worker.wait()
    forget()
    yield worker
    worker.kill()


def logged(worker, wanted):
    """Return the lines of an event, once one of them is there."""
    wait_until(lambda: wanted in worker.output())
    return [line for line in map(json.loads, worker.output().splitlines()) if wanted in str(line)]


def fields(line):
    return [line.get(name) for name in FIELDS[:-1]] + [isinstance(line.get("duration_ms"), int)]


def test_each_line_of_a_task_names_it_and_its_work(own_worker):
    with structlog.contextvars.bound_contextvars(request_id=REQUEST):
        probes.echo.delay("plain")
        probes.plain_flaky.delay(1)
        probes.rejecting.delay()
        probes.flaky.delay(1)
        probes.endless.apply_async(soft_time_limit=0.5, time_limit=1)
    wait_until(lambda: own_worker.output().count('"task_succeeded"') == 2)
    wait_until(lambda: own_worker.output().count('"task_failed"') == 3)

    # One of each kind: succeeded, failed, rejected, retrying, the retry, at its hard limit.
    succeeded = {line["task"]: line for line in logged(own_worker, "task_succeeded")}
    failed = {line["task"]: line for line in logged(own_worker, "task_failed")}
    [retrying] = logged(own_worker, "task_retrying")
    assert fields(succeeded["tests.echo"]) == ["tests.echo", "default", 1, REQUEST, True]
    assert fields(succeeded["tests.flaky"]) == ["tests.flaky", "default", 2, REQUEST, True]
    assert fields(retrying) == ["tests.flaky", "default", 1, REQUEST, True]
    for name in ("tests.plain_flaky", "tests.rejecting", "tests.endless"):
        assert fields(failed[name]) == [name, "default", 1, REQUEST, True]


def test_work_without_a_request_is_named_by_its_first_task(own_worker):
    plain = probes.kept_number.delay(1)
    durable = probes.durable.delay("one")

    wait_until(lambda: own_worker.output().count("task_succeeded") == 2)

    lines = {line["task"]: line for line in logged(own_worker, "task_succeeded")}
    assert lines["tests.kept_number"]["correlation_id"] == plain.id
    assert lines["tests.durable"]["correlation_id"] == durable.id
    assert TaskRun.objects.get(pk=durable.id).correlation_id == durable.id


def failures(worker):
    whole = worker.output().rpartition("\n")[0].splitlines()  # the last one may be half written
    lines = [json.loads(line) for line in whole if '"task_failed"' in line]
    return [line for line in lines if "task" in line]


def test_each_failure_has_one_line_and_one_traceback(own_worker):
    probes.failing.delay()
    probes.rejecting.delay()
    probes.plain_deadly.delay()
    probes.endless.apply_async(soft_time_limit=0.5, time_limit=1)
    names = ("tests.failing", "tests.rejecting", "tests.endless")

    wait_until(
        lambda: {line["task"] for line in failures(own_worker)} >= {*names, "tests.plain_deadly"}
    )
    lines = logged(own_worker, "tests.")

    for name in names:
        of_task = [line for line in lines if line["task"] == name]
        assert [line["event"] for line in of_task].count("task_failed") == 1
        assert sum("exception" in line for line in of_task) <= 1
    tracebacks = [line["exception"] for line in lines if "exception" in line]
    assert not [found for found in tracebacks if "Traceback" in str(found)]  # none within another


def test_all_that_a_worker_prints_is_json(own_worker):
    probes.plain_deadly.delay()
    logged(own_worker, "exited with 'signal 9")

    os.kill(own_worker.group, signal.SIGTERM)
    wait_until(lambda: not exists(own_worker.group))

    stopped = [json.loads(line) for line in own_worker.output().splitlines()]
    assert [line["event"] for line in stopped].count("worker: Cold shutdown (MainProcess)") == 1


@pytest.mark.parametrize("own_worker", ["console"], indirect=True)
def test_a_rejection_and_a_time_limit_have_readable_lines_in_development(own_worker):
    probes.rejecting.delay()
    probes.endless.apply_async(soft_time_limit=0.5, time_limit=1)

    wait_until(lambda: "TimeLimitExceeded" in own_worker.output())
    wait_until(lambda: "reject requeue=False: not for me" in own_worker.output())

    assert "Logging error" not in own_worker.output()
    assert own_worker.output().count("task=tests.endless") >= 2


def test_a_message_that_no_task_takes_names_it_and_its_queue(own_worker):
    current_app.send_task("tests.unknown", queue="default", task_id="unknown-1")

    [line] = logged(own_worker, "task_not_found")
    assert [line["task"], line["queue"], line["correlation_id"]] == [
        "tests.unknown",
        "default",
        "unknown-1",
    ]


def publish(body, **headers):
    """Publish a message as another publisher does, whose headers describe the arguments in its own way."""
    with current_app.producer_or_acquire() as producer:
        producer.publish(
            body,
            content_type="application/json",
            content_encoding="utf-8",
            routing_key="default",
            exchange="",
            headers={"argsrepr": "('sesame',)", "lang": "py"} | headers,
        )


def push(message):
    """Put a message into the queue that is not in kombu's form."""
    with redis.Redis.from_url(settings.CELERY_BROKER_URL) as client:
        client.lpush(QUEUE, json.dumps(message))


def test_the_line_of_a_message_that_becomes_no_task_has_no_arguments(own_worker):
    current_app.send_task("tests.unknown", ("sesame",), task_id="gone", queue="default")
    publish("[['sesame'], {}, {}]", id="broken", task="tests.ignored")
    far = {"eta": "0001-01-01T00:00:00+14:00"}
    publish('[["sesame"], {}, {}]', id="far", task="tests.ignored", **far)
    publish('{"password": "sesame"}')
    push({"body": {"password": "sesame"}, "properties": {}})

    ids = {
        text: [line.get("task_id") for line in logged(own_worker, text)]
        for text in (
            "Received unregistered task of type 'tests.unknown'",
            "Received invalid task message",
            "Received a message of no task",
            "Couldn't convert ETA",
            "message_unreadable",
        )
    }

    assert ids["Received unregistered task of type 'tests.unknown'"] == ["gone"]
    assert "broken" in ids["Received invalid task message"]
    assert "sesame" not in own_worker.output()
