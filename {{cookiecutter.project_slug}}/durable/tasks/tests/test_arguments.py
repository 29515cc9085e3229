import subprocess
import sys
import uuid

import pytest
from django.conf import settings

from durable.errors import ArgumentsTooLargeError
from durable.tasks.models import TaskRun
from durable.tasks.redaction import REDACTED, redact, redacted_arguments, stored_arguments
from durable.tasks.tasks import heartbeat
from durable.tasks.validation import MAX_ARGUMENTS_SIZE
from durable.tests.probes import durable, giving_up, report

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


def test_a_failed_task_stores_no_arguments_that_are_too_large():
    kept = stored_arguments("reports.probe", [FIVE_MEGABYTES], {})

    assert len(str(kept)) < MAX_ARGUMENTS_SIZE
    assert "bytes, not stored" in kept["args"][0]


def test_a_failed_task_stores_replacements_for_what_postgresql_cannot_hold():
    kept = stored_arguments("tests.echo", ["a\x00b"], {})

    assert kept["args"] == ["a\N{REPLACEMENT CHARACTER}b"]


@pytest.mark.parametrize(
    ("task", "args", "shown"),
    [
        ("tests.giving_up", [7, "sesame"], [7, REDACTED]),
        ("tests.giving_up", [7, "sesame", "too many"], [7, REDACTED, "too many"]),
        ("tests.giving_up", "no list", "no list"),
        ("celery.group", [7], [7]),
        ("gone.task", [7], [7]),
    ],
    ids=["by position", "too many", "no list", "without names", "unknown"],
)
def test_a_secret_given_by_position_is_redacted_by_its_parameters_name(task, args, shown):
    assert redacted_arguments(task, args, {})["args"] == shown


@pytest.mark.parametrize(
    ("link", "shown"),
    [(giving_up.s("sesame"), [REDACTED]), (giving_up.si(7, "sesame"), [7, REDACTED])],
    ids=["after a result", "without it"],
)
def test_a_secret_of_a_link_is_redacted_too(link, shown):
    assert redact({"chain": [link]})["chain"][0]["args"] == shown


def test_a_process_that_runs_no_worker_knows_all_tasks():
    lines = [
        "import django; django.setup()",
        "from durable.tasks.redaction import find_task",
        "print(find_task('users.cleanup_sessions').name, find_task('gone.task'))",
    ]

    process = [sys.executable, "-c", "; ".join(lines)]
    known = subprocess.check_output(process, cwd=settings.BASE_DIR, text=True)

    assert known.split() == ["users.cleanup_sessions", "None"]
