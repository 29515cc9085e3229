"""Messages that this service did not write: nothing in them is run, and the worker lives on."""

import base64
import json
import pickle
import uuid

import pytest
import redis
from celery import current_app
from django.conf import settings

from durable.broker import messages
from durable.tasks.models import FailedTask
from durable.testing.workers import CONCURRENCY, wait_until
from durable.tests import probes

pytestmark = pytest.mark.django_db(transaction=True)

PREFIX = settings.CELERY_BROKER_TRANSPORT_OPTIONS["global_keyprefix"]


class Trap:
    """Unpickled, it leaves a note."""

    def __reduce__(self):
        return probes.record, ("trapped",)


def publish(body, content_type, encoding="utf-8", **headers):
    with current_app.producer_or_acquire() as producer:
        producer.publish(
            body,
            content_type=content_type,
            content_encoding=encoding,
            routing_key="default",
            exchange="",
            headers=headers,
        )


def headers_of(task_id, name="tests.durable"):
    return {"id": task_id, "task": name, "lang": "py", "retries": 0, "timelimit": [None, None]}


def failed(task_id):
    wait_until(FailedTask.objects.filter(pk=task_id).exists)
    return FailedTask.objects.get(pk=task_id)


@pytest.fixture(autouse=True)
def _the_worker_lives_on_and_ran_nothing(transactional_db, worker):
    before = worker.group
    yield
    probes.durable.delay("marker")
    wait_until(probes.ran)
    assert (worker.group, probes.ran()) == (before, ["marker"])


def test_an_unknown_task_is_stored_with_its_arguments():
    result = current_app.send_task("gone.task", ("one",), {"token": "sesame"})

    stored = failed(result.id)
    assert (stored.name, stored.args, stored.error_type) == ("gone.task", ["one"], "LookupError")
    assert stored.kwargs == {"token": "********"}


def test_wrong_arguments_are_a_failed_task():
    result = current_app.send_task("tests.durable", ("one", 2, 3, 4))

    assert failed(result.id).error_type == "TypeError"


def test_arguments_that_are_too_large_are_a_failed_task_without_them():
    result = current_app.send_task("tests.durable", ("x" * 5_000_000,))

    stored = failed(result.id)
    assert stored.error_type == "ArgumentsTooLargeError"
    assert len(json.dumps(stored.args)) < 1000


@pytest.mark.parametrize(
    ("body", "content_type", "encoding"),
    [
        (pickle.dumps(((Trap(),), {}, {})), "application/x-python-serialize", "binary"),
        ("!!python/object/apply:os.abort []", "application/x-yaml", "utf-8"),
        ('{"neither": "arguments"}', "application/json", "utf-8"),
    ],
    ids=["pickle", "yaml", "another shape"],
)
def test_a_message_of_another_publisher_is_a_failed_task(body, content_type, encoding):
    task_id = str(uuid.uuid4())

    publish(body, content_type, encoding, **headers_of(task_id))

    assert failed(task_id).name == "tests.durable"


def test_messages_whose_links_have_another_form_occupy_no_slot():
    for _ in range(CONCURRENCY + 1):
        publish("[[], {}, [1]]", "application/json", **headers_of(str(uuid.uuid4())))


def test_a_message_that_cannot_be_decoded_is_a_failed_task():
    task_id = str(uuid.uuid4())

    publish("no json at all", "application/json", **headers_of(task_id))

    assert failed(task_id).error_type == "DecodeError"


def test_a_message_that_names_no_task_is_a_failed_task():
    publish('{"hello": "world"}', "application/json")

    wait_until(FailedTask.objects.filter(name="unknown").exists)


ODD = [None, True, 7, -1.5, "x", "", [], ["x", "y"], {}, {"a": [1]}, "\ud800", "x" * 100_000]
HEADERS = [
    "argsrepr",
    "eta",
    "expires",
    "group",
    "group_index",
    "id",
    "ignore_result",
    "kwargsrepr",
    "lang",
    "meth",
    "origin",
    "parent_id",
    "replaced_task_nesting",
    "retries",
    "root_id",
    "shadow",
    "stamped_headers",
    "stamps",
    "task",
    "task_run",
    "timelimit",
]


def push(message):
    """Put a message into the queue, as another program might."""
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        queue = current_app.conf.task_default_queue
        client.lpush(f"{PREFIX}{queue}", json.dumps(message))


def message_of(headers=None, properties=None):
    """Return a message as Celery publishes it, with some headers and properties replaced."""
    task_id = str(uuid.uuid4())
    default = {
        "correlation_id": task_id,
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": "default"},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": str(uuid.uuid4()),
    }
    return {
        "body": base64.b64encode(b'[["fuzz"], {}, {}]').decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": headers_of(task_id, "tests.ignored") | (headers or {}),
        "properties": default | (properties or {}),
    }


@pytest.mark.parametrize("name", HEADERS)
def test_no_header_of_any_json_type_ends_the_worker(name):
    for value in ODD:
        push(message_of(headers={name: value}))


@pytest.mark.parametrize("name", [*messages.PROPERTIES, "delivery_mode"])
def test_no_property_of_any_json_type_ends_the_worker(name):
    for value in ODD:
        push(message_of(properties={name: value}))


@pytest.mark.parametrize("name", messages.PARTS)
def test_no_part_of_a_message_of_any_json_type_ends_the_worker(name):
    for value in ODD:
        push(message_of() | {name: value})


def test_a_message_of_another_form_is_a_failed_task():
    push([1, 2, 3])
    push(message_of(properties={"body_encoding": ["x"]}))
    odd = message_of(headers={"timelimit": ["x", "y"]})
    push(odd)

    stored = failed(odd["headers"]["id"])
    assert stored.last_error == "TypeError: '>' not supported between instances of 'str' and 'int'"
    wait_until(lambda: FailedTask.objects.count() == 3)
    assert FailedTask.objects.filter(last_error__contains="body_encoding is ['x']").exists()
    assert FailedTask.objects.filter(
        last_error__contains="the message is a list, not an object"
    ).exists()
