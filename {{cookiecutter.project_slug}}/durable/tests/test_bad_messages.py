"""Messages that this service did not write: nothing in them is run, and the worker lives on."""

import json
import pickle
import uuid

import pytest
from celery import current_app

from durable.tasks.models import FailedTask
from durable.testing.workers import CONCURRENCY, wait_until
from durable.tests import probes

pytestmark = pytest.mark.django_db(transaction=True)


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


def test_a_task_that_nobody_knows_is_a_dead_letter_with_its_arguments():
    result = current_app.send_task("gone.task", ("one",), {"token": "sesame"})

    letter = failed(result.id)
    assert (letter.name, letter.args, letter.error_type) == ("gone.task", ["one"], "LookupError")
    assert letter.kwargs == {"token": "********"}


def test_wrong_arguments_are_a_dead_letter():
    result = current_app.send_task("tests.durable", ("one", 2, 3, 4))

    assert failed(result.id).error_type == "TypeError"


def test_arguments_that_are_too_large_are_a_dead_letter_without_them():
    result = current_app.send_task("tests.durable", ("x" * 5_000_000,))

    letter = failed(result.id)
    assert letter.error_type == "ArgumentsTooLargeError"
    assert len(json.dumps(letter.args)) < 1000


@pytest.mark.parametrize(
    ("body", "content_type", "encoding"),
    [
        (pickle.dumps(((Trap(),), {}, {})), "application/x-python-serialize", "binary"),
        ("!!python/object/apply:os.abort []", "application/x-yaml", "utf-8"),
        ('{"neither": "arguments"}', "application/json", "utf-8"),
    ],
    ids=["pickle", "yaml", "another shape"],
)
def test_a_foreign_message_is_a_dead_letter(body, content_type, encoding):
    task_id = str(uuid.uuid4())

    publish(body, content_type, encoding, **headers_of(task_id))

    assert failed(task_id).name == "tests.durable"


def test_messages_whose_links_have_another_shape_take_no_place_of_others():
    for _ in range(CONCURRENCY + 1):
        publish("[[], {}, [1]]", "application/json", **headers_of(str(uuid.uuid4())))


def test_a_message_that_cannot_be_read_is_logged(worker):
    publish("no json at all", "application/json", **headers_of("unreadable"))

    wait_until(lambda: "Can't decode message body" in worker.output())


def test_a_message_that_names_no_task_is_a_dead_letter():
    publish('{"hello": "world"}', "application/json")

    wait_until(FailedTask.objects.filter(name="unknown").exists)
