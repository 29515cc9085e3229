"""`/metrics`, with a real database, a real Redis and a real worker."""

import os
import re
import signal as signals
import time
from datetime import timedelta
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import pytest
from django.core.cache import cache
from django.core.checks import run_checks
from django.db import connections
from django.db.models.functions import Now
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families
from redis.exceptions import RedisError

from durable.console.metrics import broker, database, scrape
from durable.health import problems
from durable.tasks import metrics
from durable.tasks.models import BeatLeader, PausedQueue, TaskRun
from durable.tasks.tasks import heartbeat
from durable.testing.workers import Worker, wait_until
from durable.tests import probes

pytestmark = pytest.mark.django_db(transaction=True)

PAGE = Path(__file__).parents[3] / "docs/metrics.md"
TOKEN = "x" * 32


@pytest.fixture(autouse=True)
def token(settings):
    settings.METRICS_TOKEN = TOKEN
    metrics._pending.clear()
    yield
    metrics._pending.clear()


@pytest.fixture(autouse=True)
def _an_empty_cache(redis_server):
    cache.clear()


@pytest.fixture
def read(client):
    """Return a function that returns each value of a scrape, by name and labels."""

    def read():
        response = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        assert response.status_code == 200
        return {
            (sample.name, *(value for _name, value in sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(response.text)
            for sample in family.samples
        }

    return read


@pytest.fixture
def _no_other_worker(running_worker):
    if running_worker and running_worker.is_alive():
        running_worker.kill()  # it would take the tasks; the next test that needs it starts it again


def run_of(name="tests.echo", queue="default", published=None, started=None, eta=None):
    now = time.time()
    return SimpleNamespace(
        task=SimpleNamespace(name=name),
        delivery_info={"routing_key": queue},
        request_dict={"published_at": now - 2 if published is None else published},
        eta=eta,
        time_start=started or now,
    )


# Access


def test_there_is_no_such_page_by_default(client, settings):
    settings.METRICS_TOKEN = ""

    assert client.get("/metrics").status_code == 404


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[1:]}",
        f"Basic {TOKEN}",
        TOKEN,
        "Bearer \xff",
    ],
)
def test_a_request_without_the_token_gets_nothing(client, header):
    response = client.get("/metrics", headers={"Authorization": header})

    assert response.status_code == 401
    assert "durable_" not in response.text
    assert response["WWW-Authenticate"].startswith("Bearer ")


@pytest.mark.parametrize("header", [f"Bearer {TOKEN}", f"bearer {TOKEN}"])
def test_the_token_opens_it_without_https_and_by_any_host(client, settings, header):
    settings.SECURE_SSL_REDIRECT = True

    response = client.get("/metrics", headers={"Authorization": header, "host": "10.1.2.3:8000"})

    assert response.status_code == 200
    assert response["Content-Type"].startswith("text/plain; version=")
    assert response["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("10.1.2.3", 200),
        ("::ffff:10.1.2.3", 200),
        ("fd00::7", 200),
        ("11.1.2.3", 403),
        ("::1", 403),
        ("", 403),
        ("no address", 403),
    ],
)
def test_networks_open_it_without_a_token(client, settings, address, status):
    settings.METRICS_TOKEN, settings.METRICS_NETWORKS = "", ["10.0.0.0/8", "fd00::/8", "nonsense"]

    assert client.get("/metrics", REMOTE_ADDR=address).status_code == status


def test_a_request_through_a_proxy_is_of_no_network(client, settings):
    settings.METRICS_TOKEN, settings.METRICS_NETWORKS = "", ["127.0.0.0/8"]

    assert client.get("/metrics").status_code == 200
    assert client.get("/metrics", headers={"X-Forwarded-For": "1.2.3.4"}).status_code == 403


def test_with_both_a_request_needs_both(client, settings):
    settings.METRICS_NETWORKS = ["10.0.0.0/8"]
    headers = {"Authorization": f"Bearer {TOKEN}"}

    assert client.get("/metrics", headers=headers).status_code == 403
    assert client.get("/metrics", REMOTE_ADDR="10.0.0.1").status_code == 401
    assert client.get("/metrics", headers=headers, REMOTE_ADDR="10.0.0.1").status_code == 200


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("METRICS_TOKEN", "x" * 31, "it has 31 characters, and 32 are needed"),
        ("METRICS_TOKEN", "x" * 32 + " ", "cannot be sent"),
        ("METRICS_TOKEN", "ä" * 32, "cannot be sent"),
        ("METRICS_NETWORKS", ["10.0.0.1/8"], "has host bits set"),
        ("METRICS_NETWORKS", ["localhost"], "does not appear to be"),
        ("METRICS_NETWORKS", ["0.0.0.0/0"], "is every address"),
        ("METRICS_NETWORKS", ["::/0"], "is every address"),
    ],
)
def test_a_check_reports_settings_that_cannot_work(settings, name, value, fault):
    settings.METRICS_TOKEN = ""
    assert run_checks(tags=["metrics"]) == []

    setattr(settings, name, value)

    (error,) = run_checks(tags=["metrics"])
    assert (error.id, error.msg.partition(":")[0]) == ("metrics.E001", name)
    assert fault in error.msg
    assert "x" * 31 not in f"{error.msg}{error.hint}"


def test_a_check_reports_another_cache(settings):
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

    (error,) = run_checks(tags=["metrics"])

    assert error.msg.startswith("CACHES: ")


# What database and broker know


def test_an_idle_service_has_every_metric(read):
    found = read()

    assert {part: found["durable_up", part] for part in scrape.PARTS} == dict.fromkeys(
        scrape.PARTS, 1
    )
    assert found["durable_queue_messages", "emails"] == 0
    assert found["durable_queue_consumers", "emails"] == 0
    assert found["durable_queue_oldest_seconds", "emails"] == 0
    assert found["durable_tasks_failed_recently", "emails"] == 0
    assert found["durable_task_rows", "failed"] == 0
    assert found["durable_mails", "locmem", "queued"] == 0
    assert found["durable_mail_oldest_seconds",] == 0
    assert found["durable_broker_writable",] == 1
    assert found["durable_broker_certificate_refused",] == 0


def test_rows_are_counted_by_state_and_queue(read, task, mail):
    long_ago = Now() - timedelta(minutes=7)
    for state in ("queued", "scheduled", "running", "done", "failed", "canceled"):
        task(state)
    task("queued", queue="reports", next_attempt_at=long_ago)
    task("failed", finished_at=long_ago)
    mail(queued_at=long_ago)
    PausedQueue.objects.create(queue="reports", paused_by="ann")
    BeatLeader.objects.create(lease_until=Now())

    found = read()

    rows = {state: found["durable_task_rows", state] for state in ("queued", "running", "done")}
    assert rows == {"queued": 3, "running": 1, "done": 1}
    assert (found["durable_task_rows", "failed"], found["durable_task_rows", "canceled"]) == (2, 1)
    assert found["durable_tasks_failed_recently", "default"] == 1
    assert found["durable_queue_waiting_rows", "default"] == 1
    assert found["durable_queue_oldest_seconds", "reports"] == pytest.approx(420, abs=10)
    assert (found["durable_queue_paused", "reports"], found["durable_queue_paused", "emails"]) == (
        1,
        0,
    )
    assert found["durable_mail_oldest_seconds",] == pytest.approx(420, abs=10)
    assert found["durable_beat_age_seconds",] == pytest.approx(1, abs=1)  # BEAT_LEASE of the tests


def test_mails_are_counted_by_the_provider_that_got_them(read, mail):
    for status, provider in (("sent", "mailgun"), ("failed", "mailgun"), ("sent", "locmem")):
        mail(status, provider=provider)
    mail()
    mail("suppressed")

    found = read()

    counted = {labels[1:]: count for labels, count in found.items() if labels[0] == "durable_mails"}
    assert {labels: count for labels, count in counted.items() if count} == {
        ("mailgun", "sent"): 1,
        ("mailgun", "failed"): 1,
        ("locmem", "sent"): 1,
        ("none", "queued"): 1,
        ("none", "suppressed"): 1,
    }
    assert counted["locmem", "failed"] == 0  # so that a graph has no gap


@pytest.mark.parametrize("status", ["queued", "sending"])
def test_a_mail_that_is_tried_again_and_again_has_waited_since_it_was_queued(read, mail, status):
    mail(
        status,
        queued_at=Now() - timedelta(hours=1),
        attempts=9,
        next_attempt_at=Now() + timedelta(minutes=8),
    )
    mail("sent", queued_at=Now() - timedelta(hours=2))

    assert read()["durable_mail_oldest_seconds",] == pytest.approx(3600, abs=10)


def test_queues_that_the_service_does_not_have_share_a_label(read, task):
    for number in range(3):
        task("queued", queue=f'old{number}\n"x"')
        task("failed", queue=f'old{number}\n"x"')

    found = read()

    assert found["durable_queue_waiting_rows", "other"] == 3
    assert found["durable_tasks_failed_recently", "other"] == 3
    assert not any("old0" in str(name) for name in found)


def test_counts_are_bounded(read, monkeypatch):
    monkeypatch.setattr(database, "MAX_COUNTED", 2)
    monkeypatch.setattr(problems, "MAX_FAILED", 2)
    for status in ("done", "failed"):
        TaskRun.objects.bulk_create(
            TaskRun(name="tests.durable", queue="default", status=status, finished_at=Now())
            for _ in range(5)
        )

    found = read()

    assert found["durable_task_rows", "done"] == found["durable_task_rows", "failed"] == 2
    assert found["durable_tasks_failed_recently", "default"] == 2


@pytest.mark.usefixtures("_no_other_worker")
def test_messages_are_counted(read):
    probes.echo.delay("one")

    assert read()["durable_queue_messages", "default"] >= 1


def test_a_heartbeat_leaves_its_time(read):
    assert ("durable_heartbeat_timestamp_seconds",) not in read()

    heartbeat()

    assert read()["durable_heartbeat_timestamp_seconds",] == pytest.approx(time.time(), abs=10)


def test_the_page_lists_every_metric_and_no_other(client, read):
    metrics.record(run_of(), "done", 1)
    metrics.flush("w@here", 0)
    heartbeat()
    BeatLeader.objects.create()
    response = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    found = {line.split()[2] for line in response.text.splitlines() if line.startswith("# TYPE")}

    documented = re.findall(r"^\| `(durable_\w+)` \|", PAGE.read_text("utf-8"), re.MULTILINE)

    assert sorted(documented) == sorted(found)


# Parts that are down


def test_without_redis_the_scrape_has_the_rows(read, redis_server, task):
    task("failed")
    redis_server.stop()

    found = read()

    assert [found["durable_up", part] for part in scrape.PARTS] == [1, 0, 0]
    assert found["durable_task_rows", "failed"] == 1


def test_without_database_the_scrape_has_the_messages(read, monkeypatch):
    address = {"HOST": "127.0.0.1", "PORT": 1, "ENGINE": "django.db.backends.postgresql"}
    broken = connections.settings["default"] | address | {"OPTIONS": {}}
    monkeypatch.setattr(connections, "settings", {"default": broken})

    found = read()

    assert [found["durable_up", part] for part in scrape.PARTS] == [0, 1, 1]
    assert ("durable_queue_messages", "default") in found


@pytest.mark.parametrize("asked_before", [True, False])
def test_a_redis_that_hangs_delays_a_scrape_by_two_seconds_at_most(
    read, redis_server, asked_before
):
    if asked_before:
        read()
    redis_server.hang()
    started = time.monotonic()

    found = read()

    assert time.monotonic() - started < 2 + 3  # a machine under load
    assert [found["durable_up", part] for part in scrape.PARTS] == [1, 0, 0]
    redis_server.hang(hung=False)
    wait_until(lambda: read()["durable_up", "cache"] == read()["durable_up", "broker"] == 1)


def test_a_database_that_never_answers_holds_one_thread(read, monkeypatch):
    asked, back = [], Event()

    def hang():
        asked.append(1)
        back.wait()
        return []

    monkeypatch.setitem(scrape.PARTS, "database", hang)
    monkeypatch.setattr(scrape, "TIMEOUT", 0.2)

    assert [read()["durable_up", "database"] for _ in range(3)] == [0, 0, 0]
    assert len(asked) == 1
    back.set()
    wait_until(lambda: read()["durable_up", "database"])


def test_a_full_redis_answers_and_accepts_no_writes(read, redis_server):
    redis_server.fill()

    found = read()

    assert (found["durable_up", "broker"], found["durable_broker_writable",]) == (1, 0)


def test_a_refused_certificate_is_told_from_a_broker_that_is_down():
    error = RedisError("Error 1 connecting")
    error.__cause__ = OSError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate")

    assert broker.is_of_certificate(error)
    assert not broker.is_of_certificate(RedisError("Connection refused"))


# What workers count


def test_runs_and_waits_of_a_task_become_histograms(read):
    metrics.record(run_of(), "done", 0.3)
    metrics.record(run_of(), "failed", 7000)
    metrics.flush("w@here", 0)
    metrics.record(run_of(), "done", 0.3)
    metrics.flush("w@here", 1)

    found = read()

    of = ("default", "tests.echo")  # labels by name: le, outcome, queue, task
    runs = "durable_task_run_seconds"
    buckets = {le: found[f"{runs}_bucket", le, *of] for le in ("0.1", "0.5", "1800.0", "+Inf")}
    assert buckets == {"0.1": 0, "0.5": 2, "1800.0": 2, "+Inf": 3}
    assert found[f"{runs}_count", *of] == 3
    assert found[f"{runs}_sum", *of] == pytest.approx(7000.6)
    assert found["durable_task_wait_seconds_sum", *of] == pytest.approx(6, abs=0.5)
    outcomes = [found["durable_task_runs_total", each, *of] for each in ("done", "failed")]
    assert outcomes == [2, 1]
    assert found["durable_worker_running_tasks", "w@here"] == 1


def test_labels_hold_any_text(read):
    name, worker = 'tests."quoted"\\\nüñ {x="1"}', 'w"\\\n@here'
    metrics.record(run_of(name), "done", 1)
    metrics.flush(worker, 0)

    found = read()

    assert found["durable_task_run_seconds_count", "default", name] == 1
    assert found["durable_worker_running_tasks", worker] == 0


def test_queues_and_names_of_messages_make_no_labels(read):
    for number in range(5):
        run = run_of(queue=f"queue-{number}")
        run.name = f"shadow-{number}"  # Celery's `shadow`, which a message names
        metrics.record(run, "done", 1)
    metrics.flush("w@here", 0)

    assert read()["durable_task_run_seconds_count", "other", "tests.echo"] == 5


@pytest.mark.parametrize(
    "published", ["nan", "inf", "-inf", "later", [], {}, None, 10**400, 1e308], ids=repr
)
def test_a_message_with_an_odd_time_has_no_wait_or_none_below_zero(read, published):
    run = run_of()
    run.request_dict["published_at"] = published
    metrics.record(run, "done", float("nan"))
    metrics.flush("w@here", 0)

    found = read()

    assert found["durable_task_wait_seconds_sum", "default", "tests.echo"] == 0
    assert found["durable_task_run_seconds_count", "default", "tests.echo"] == 0


def test_a_message_without_time_is_counted(read):
    run = run_of()
    del run.request_dict["published_at"]
    metrics.record(run, "done", 1)
    metrics.flush("w@here", 0)

    assert read()["durable_task_runs_total", "done", "default", "tests.echo"] == 1


def test_the_wait_of_a_later_start_begins_then(read):
    metrics.record(run_of(published=1, eta=timezone.now() - timedelta(seconds=3)), "done", 1)
    metrics.flush("w@here", 0)

    wait = read()["durable_task_wait_seconds_sum", "default", "tests.echo"]
    assert wait == pytest.approx(3, abs=1)


def test_a_run_is_counted_once():
    run = run_of()
    metrics.record_end(run, "failed")
    metrics.record_end(run, "crashed")

    assert metrics._pending["tests.echo", "default"]["outcome:failed"] == 1
    assert "outcome:crashed" not in metrics._pending["tests.echo", "default"]


def test_counts_wait_for_redis(read, redis_server):
    redis_server.stop()
    metrics.record(run_of(), "done", 1)
    metrics.flush("w@here", 0)
    redis_server.restart()
    metrics.record(run_of(), "done", 1)

    def flushed():
        metrics.flush("w@here", 0)
        return not metrics._pending

    wait_until(flushed)
    assert read()["durable_task_run_seconds_count", "default", "tests.echo"] == 2


def test_huge_counts_are_read(read):
    metrics._pending["tests.echo", "default"]["outcome:done"] = 10**15
    metrics.flush("w@here", 0)

    assert read()["durable_task_runs_total", "done", "default", "tests.echo"] == 1e15


def test_a_worker_is_silent_once_it_no_longer_beats_and_is_forgotten_if_it_stops(read):
    metrics.flush("w@here", 2)
    key = metrics.key_of("worker", "w@here")
    assert read()["durable_queue_consumers", "default"] == 1

    metrics.cache().client.expire(key, metrics.WORKER_MAX_AGE - 100)
    found = read()
    assert found["durable_worker_heartbeat_age_seconds", "w@here"] == pytest.approx(100, abs=5)
    assert found["durable_queue_consumers", "default"] == 0

    metrics.stop("w@here")
    assert ("durable_worker_heartbeat_age_seconds", "w@here") not in read()


def test_a_service_without_metrics_stores_and_adds_nothing(settings):
    settings.METRICS_TOKEN = ""
    metrics.record(run_of(), "done", 1)
    metrics.flush("w@here", 0)
    metrics.stop("w@here")

    assert not metrics._pending
    assert metrics.cache().client.keys(metrics.key_of() + "*") == []


@pytest.mark.parametrize("signal", ["SIGTERM", "SIGQUIT"])
@pytest.mark.usefixtures("_no_other_worker")
def test_a_worker_that_stops_is_forgotten_however_it_is_stopped(read, signal):
    def workers():
        return [name for name in read() if name[0] == "durable_worker_heartbeat_age_seconds"]

    worker = Worker(METRICS_TOKEN=TOKEN, WORKER_SOFT_SHUTDOWN_TIMEOUT="1")
    worker.start(as_in_production=True)
    worker.wait()
    wait_until(workers)
    os.kill(worker.group, getattr(signals, signal))
    wait_until(lambda: not worker.is_alive())
    worker.kill()

    assert workers() == []


@pytest.fixture
def measured_worker(_no_other_worker):
    worker = Worker(METRICS_TOKEN=TOKEN)
    worker.start(as_in_production=True)
    worker.wait()
    yield worker
    worker.kill()


def test_a_worker_measures_every_end_of_a_task_also_of_a_killed_process(read, measured_worker):
    def has_run(*ends):
        """Whether each of some tasks has ended so, at least once: delivery is at least once."""
        found = read()
        runs = "durable_task_runs_total"
        return all(found.get((runs, outcome, "default", task)) for task, outcome in ends)

    for task in (probes.durable.s("one"), probes.failing.s(), probes.flaky.s(1)):
        task.delay()
    ends = [("durable", "done"), ("failing", "failed"), ("flaky", "retried"), ("flaky", "done")]
    wait_until(lambda: has_run(*((f"tests.{name}", outcome) for name, outcome in ends)))
    probes.deadly.delay()
    wait_until(lambda: has_run(("tests.deadly", "crashed"), ("tests.deadly", "failed")))

    found = read()
    assert 0 <= found["durable_task_wait_seconds_sum", "default", "tests.durable"] < 60
    assert found["durable_queue_consumers", "default"] == 1
