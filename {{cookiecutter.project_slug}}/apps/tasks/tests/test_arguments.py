import uuid

import pytest

from apps.tasks.arguments import LARGEST, ArgumentsTooLargeError, kept_arguments
from apps.tasks.models import TaskRun
from apps.tasks.tasks import heartbeat
from tests.probes import durable, report

FIVE_MEGABYTES = "x" * 5_000_000


def test_arguments_that_are_too_large_are_refused_with_what_to_pass():
    for task in (report, durable):
        with pytest.raises(
            ArgumentsTooLargeError, match=r"5,000,0.. bytes, and 262,144 are allowed"
        ):
            task.delay(FIVE_MEGABYTES)


@pytest.mark.django_db
def test_wrong_arguments_fail_where_they_are_given():
    for call in (heartbeat.delay, durable.delay):
        with pytest.raises(TypeError, match="argument"):
            call(1, 2, 3, 4)
    assert not TaskRun.objects.exists()


@pytest.mark.django_db
def test_a_durable_task_takes_what_json_gives_back():
    with pytest.raises(TypeError, match=r"tests\.durable: .*UUID.*: pass ids, texts and numbers"):
        durable.delay(uuid.uuid4())


def test_a_dead_letter_keeps_no_arguments_that_are_too_large():
    kept = kept_arguments([FIVE_MEGABYTES], {})

    assert len(str(kept)) < LARGEST
    assert "bytes, not kept" in kept["args"][0]


def test_a_dead_letter_keeps_what_postgresql_cannot_hold_in_another_form():
    assert kept_arguments(["a\x00b"], {})["args"] == ["a\N{REPLACEMENT CHARACTER}b"]
