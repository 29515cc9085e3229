"""The first page: numbers, flags in words, and what it shows while Redis is away."""

import time
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.db.models.functions import Now
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from durable.console import finished, overview
from durable.console.chart import draw
from durable.health import queues, status
from durable.tasks.models import BeatLeader, PausedQueue

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def _no_workers():
    """Let the page know of no worker: asking takes a second."""
    cache.set(overview.WORKERS_KEY, {}, 60)
    yield
    cache.clear()


def flags(client):
    return client.get("/console/").context["problems"]


def test_a_service_at_rest_has_no_flags(viewer):
    page = viewer.get("/console/")

    assert page.context["problems"] == []
    assert ">ok</span>" in page.text


def test_messages_without_a_consumer_are_flagged(viewer, monkeypatch):
    monkeypatch.setattr(overview, "queue_lengths", lambda: {"default": 2})

    (flag,) = flags(viewer)

    assert flag.startswith("No worker consumes default, where messages wait.")


@pytest.mark.parametrize("kind", ["task", "mail"])
def test_a_row_that_waits_too_long_is_flagged_on_both_pages(viewer, task, mail, kind, settings):
    make = {"task": task, "mail": mail}[kind]
    make(next_attempt_at=Now() - 4 * MINUTE)
    assert flags(viewer) == []
    settings.QUEUE_MAX_WAIT = 3 * MINUTE

    (flag,) = flags(viewer)
    check = status.run("Queues", status.check_queues)

    assert flag.startswith("The oldest work in ")
    assert "has waited for 4 minutes, and the limit is 3 minutes" in flag
    assert (check.ok, check.detail) == (False, flag)


@pytest.mark.parametrize("state", ["scheduled", "retrying", "running", "done"])
def test_a_row_that_is_not_due_does_not_wait(viewer, task, state, settings):
    settings.QUEUE_MAX_WAIT = timedelta(0)
    task(state)

    assert flags(viewer) == []


def test_a_paused_queue_is_flagged_while_work_waits_in_it(viewer, task):
    PausedQueue.objects.create(queue="default", paused_by="Ann")
    assert flags(viewer) == []
    assert status.run("Queues", status.check_queues).ok
    task()

    (flag,) = flags(viewer)

    assert flag == "default is paused by Ann, and work waits in it. Resume it in the console."
    assert not status.run("Queues", status.check_queues).ok


def test_percentiles_of_waits_and_runs(viewer, task):
    second, now = timedelta(seconds=1), timezone.now()
    for number in range(1, 101):
        started = now - number * second
        task("done", next_attempt_at=started - 2 * second, started_at=started, finished_at=now)

    (row,) = [row for row in viewer.get("/console/").context["queues"] if row.speed.runs]

    assert row.speed.wait_times == "2.0 / 2.0 / 2.0 s"
    assert row.speed.run_times == "51.0 / 96.0 / 100.0 s"
    assert row.speed.done_per_minute == 100 / finished.RECENT


def test_the_chart_counts_each_minute(viewer, task, mail):
    task("done", finished_at=Now() - 2 * MINUTE)
    task("failed", finished_at=Now() - 2 * MINUTE)
    task("canceled")
    mail("sent", sent_at=Now() - 2 * MINUTE)
    mail("failed", started_at=Now() - 5 * MINUTE)

    chart = viewer.get("/console/").context["chart"]

    assert chart.title == ("In the last 60 minutes 2 done and 2 failed, 3 in the busiest minute")
    assert [
        bar.title.split(": ")[1] for bar in chart.bars if bar.done_height or bar.failed_height
    ] == [
        "0 done, 1 failed",
        "2 done, 1 failed",
    ]
    assert len(chart.bars) == 60


def test_an_empty_chart_has_no_bars():
    chart = draw(finished.Speed(), timezone.now())

    assert {bar.done_height + bar.failed_height for bar in chart.bars} == {0}


def test_mails_are_counted_by_status(viewer, mail):
    mail("sent", sent_at=Now())
    mail("bounced")
    mail("bounced")
    mail("failed", queued_at=Now() - timedelta(hours=25))

    assert viewer.get("/console/").context["emails"] == [("bounced", 2), ("sent", 1)]


def test_mails_are_counted_by_provider(viewer, mail):
    for provider, state in (
        ("smtp", "sent"),
        ("smtp", "sent"),
        ("mailgun", "failed"),
        ("", "queued"),
    ):
        mail(state, provider=provider)

    page = viewer.get("/console/")

    assert page.context["providers"] == [("mailgun", "failed", 1), ("smtp", "sent", 2)]
    assert "/console/emails/?provider=mailgun" in page.text
    found = viewer.get("/console/emails/?provider=mailgun").context["rows"]
    assert [row.provider for row, _state in found] == ["mailgun"]


def test_workers_show_what_they_run(viewer):
    run = {"id": "1", "name": "tests.durable", "since": time.time() - 60, "process": 42}
    answer = {
        "queues": ["default"],
        "paused": ["emails"],
        "processes": 2,
        "runs": [run],
        "waiting": 3,
    }
    cache.set(overview.WORKERS_KEY, {"celery@one": answer, "celery@two": {"error": "x"}}, 60)

    page = " ".join(viewer.get("/console/").text.split())

    assert "celery@one" in page
    assert "celery@two" not in page
    for text in (
        "<code>tests.durable</code>, for 1 minute",
        "process 42",
        "emails paused",
        "1 of 2 idle",
    ):
        assert text in page.replace("\xa0", " ")


def test_beat_shows_its_leader_and_periodic_tasks(viewer, task):
    BeatLeader.objects.create(token="0" * 32, holder="host 42", lease_until=Now() + MINUTE)
    every = IntervalSchedule.objects.create(every=10, period="minutes")
    rows = {"name": "probe", "task": "tests.idle", "interval": every}
    PeriodicTask.objects.create(**rows, last_run_at=timezone.now())
    PeriodicTask.objects.create(name="broken", task="tests.durable", args="{", interval=every)
    PeriodicTask.objects.create(name="off", task="tests.durable", enabled=False, interval=every)
    task("done", name="tests.idle")

    page = viewer.get("/console/")

    broken, probe = page.context["entries"]
    assert page.context["leader"] == "host 42"
    assert (broken.next_run, bool(broken.problem)) == (None, True)
    assert 9 * MINUTE < probe.next_run - timezone.now() <= 10 * MINUTE
    assert probe.outcome == "done"


def test_without_redis_the_page_says_so_and_shows_the_rows(viewer, task, redis_server):
    task(queue="default")
    redis_server.stop()
    started = time.monotonic()

    page = viewer.get("/console/")

    assert time.monotonic() - started < 3
    assert page.status_code == 200
    assert "Redis does not answer" in page.text
    (default,) = [row.state for row in page.context["queues"] if row.state.name == "default"]
    assert (default.messages, default.consumers, default.waiting) == (None, None, 1)


def test_a_redis_that_hangs_costs_the_page_less_than_three_seconds(viewer, redis_server):
    redis_server.hang()
    started = time.monotonic()

    page = viewer.get("/console/")

    assert time.monotonic() - started < 3
    assert "Redis does not answer" in page.text


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59, "59 s"), (61, "1 minute"), (7300, "2 hours")]
)
def test_a_length_of_time_in_words(seconds, words):
    assert queues.in_words(timedelta(seconds=seconds)) == words
