"""The service reports its problems to staff: with real workers, a real Redis and a real SMTP server."""

import threading
from datetime import timedelta
from unittest.mock import Mock

import pytest
import time_machine
from celery import current_app
from django.core.cache import cache
from django.core.checks import run_checks
from django.db import connections
from django.utils import timezone

from durable.api import health_changed
from durable.beat.tests.helpers import Beat, make_due
from durable.errors import BROKER_ERRORS
from durable.health import alerts, parts, problems
from durable.health.models import LastCheck, Problem
from durable.tasks.models import TaskRun
from durable.tasks.tasks import heartbeat
from durable.testing.servers import free_port
from durable.testing.workers import wait_until
from durable.tests import probes

pytestmark = pytest.mark.django_db(transaction=True)

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
BOUND = 3  # minutes until staff must know
STATES = "begun", "lasting", "over"
NOT_ONE_ADDRESS = ("", " ", "ann", "ann@", "a@b.example, c@d.example", None, 7)
NOT_AN_ENTRY: tuple[object, ...] = (
    None,
    7,
    (),
    {},
    ["ann@example.com"],
    ("a", "b", "ann@b.example"),
)


@pytest.fixture(autouse=True)
def _a_service_that_works(settings, mailbox):
    settings.HEALTH_CHECK_INTERVAL = timedelta(seconds=55)
    settings.ADMINS = [("", "ann@example.com"), ("", "Bob <bob@example.com>")]
    settings.SERVER_EMAIL = "alerts@example.com"
    settings.EMAIL_SUBJECT_PREFIX = "[Service] "
    settings.HEARTBEAT_MAX_AGE = 3600.0  # by the clock of Redis, which no test moves
    current_app.control.purge()
    cache.clear()
    heartbeat()


@pytest.fixture
def clock():
    with time_machine.travel(timezone.now(), tick=True) as traveller:
        yield traveller


@pytest.fixture
def signals():
    found = []

    def record(problem, state, text, **_):
        found.append((problem, state))

    health_changed.connect(record)
    yield found
    health_changed.disconnect(record)


@pytest.fixture
def failed_task():
    return TaskRun.objects.create(
        name="orders.charge", queue="default", status="failed", finished_at=timezone.now()
    )


def pass_time(clock, length, step=MINUTE):
    """Check every minute for a while, as Beat does."""
    for _ in range(int(length / step)):
        clock.shift(step)
        alerts.check()


def subjects(mailbox):
    return [message["Subject"] for message in mailbox.messages]


def test_a_worker_that_is_gone_is_an_email_at_once_then_hourly_and_one_at_the_end(
    worker, mailbox, clock, signals
):
    worker.kill()
    probes.echo.delay("waits")
    pass_time(clock, BOUND * MINUTE)

    [message] = mailbox.messages
    assert message["Subject"] == "[Service] Problem: Queue default"
    assert message["To"] == "ann@example.com, Bob <bob@example.com>"
    assert message["From"] == "alerts@example.com"
    assert "No worker consumes default, where messages wait." in message.get_content()

    pass_time(clock, 55 * MINUTE, step=11 * MINUTE)
    assert len(mailbox.messages) == 1
    pass_time(clock, 5 * MINUTE)
    assert subjects(mailbox) == ["[Service] Problem: Queue default"] * 2

    worker.wait()
    wait_until(lambda: not problems.find()[0])
    pass_time(clock, 3 * MINUTE)
    assert subjects(mailbox)[2:] == ["[Service] Resolved: Queue default"]
    assert signals == [("Queue default", state) for state in STATES]


def test_a_missing_heartbeat_is_an_email(mailbox, clock):
    cache.clear()
    pass_time(clock, BOUND * MINUTE)

    assert subjects(mailbox) == ["[Service] Problem: Beat and workers"]


def test_failed_tasks_are_an_email_that_names_them(mailbox, clock, failed_task):
    pass_time(clock, BOUND * MINUTE)

    [message] = mailbox.messages
    assert message["Subject"] == "[Service] Problem: Failed tasks"
    assert "1 × orders.charge" in message.get_content()
    failed_task.delete()
    pass_time(clock, MINUTE)
    assert subjects(mailbox)[1:] == ["[Service] Resolved: Failed tasks"]


def test_a_canceled_task_is_no_problem(failed_task):
    TaskRun.objects.update(error_type="TaskRevokedError")

    assert problems.find() == ({}, True)


def test_a_problem_that_only_one_check_finds_is_not_reported(mailbox, clock, signals, failed_task):
    alerts.check()
    failed_task.delete()
    pass_time(clock, BOUND * MINUTE)

    assert (mailbox.messages, signals) == ([], [])


def test_a_problem_that_comes_and_goes_is_reported_once_an_hour(mailbox, clock, failed_task):
    for _ in range(5):
        TaskRun.objects.update(status="failed")
        pass_time(clock, 3 * MINUTE)
        TaskRun.objects.update(status="done")
        pass_time(clock, 3 * MINUTE)

    assert subjects(mailbox) == [
        "[Service] Problem: Failed tasks",
        "[Service] Resolved: Failed tasks",
    ]


def test_a_second_problem_has_an_email_of_its_own(mailbox, clock, failed_task):
    pass_time(clock, BOUND * MINUTE)
    cache.clear()
    pass_time(clock, BOUND * MINUTE)

    assert subjects(mailbox)[1:] == ["[Service] Problem: Beat and workers"]


@pytest.mark.usefixtures("failed_task")
def test_a_provider_that_is_down_costs_the_email_only_until_it_is_back(
    mailbox, clock, signals, settings, caplog
):
    port, settings.EMAIL_PORT = settings.EMAIL_PORT, free_port()
    pass_time(clock, BOUND * MINUTE)

    assert "health_alert_not_mailed" in caplog.text
    assert "ConnectionError" in caplog.text
    assert signals == [("Failed tasks", "begun")]

    settings.EMAIL_PORT = port
    pass_time(clock, MINUTE)
    assert subjects(mailbox) == ["[Service] Problem: Failed tasks"]
    assert signals == [("Failed tasks", "begun")]


@pytest.mark.usefixtures("failed_task")
def test_an_address_that_cannot_be_written_keeps_the_email_from_no_other(mailbox, clock, settings):
    settings.ADMINS = [("", "Jos\udce9 <jose@example.com>"), ("", "ann@example.com")]
    pass_time(clock, BOUND * MINUTE)

    assert [message["To"] for message in mailbox.messages] == ["ann@example.com"]


@pytest.mark.usefixtures("failed_task")
def test_an_email_that_may_have_been_sent_is_not_sent_each_minute(mailbox, clock):
    mailbox.respond = lambda message: mailbox.messages.append(message) or "451 4.3.0 try later"
    pass_time(clock, 10 * MINUTE)
    assert len(mailbox.messages) == 1

    mailbox.clear()
    pass_time(clock, BOUND * MINUTE)
    assert subjects(mailbox) == ["[Service] Problem: Failed tasks"]


@pytest.mark.usefixtures("failed_task")
@pytest.mark.parametrize("admins", [[], [("", "nobody")], [None], [("", "")]])
def test_without_an_address_the_signal_is_all(mailbox, clock, signals, settings, admins):
    settings.ADMINS = admins
    pass_time(clock, BOUND * MINUTE)

    assert (mailbox.messages, signals) == ([], [("Failed tasks", "begun")])


def test_a_redis_that_is_down_is_reported_and_ends_no_problem_of_a_queue(
    mailbox, clock, redis_server
):
    Problem.objects.record("Queue emails", "late", timezone.now())
    pass_time(clock, MINUTE)  # Redis answers, so it is over
    assert not Problem.objects.exists()

    Problem.objects.record("Queue emails", "late", timezone.now())
    redis_server.stop()
    with pytest.raises(BROKER_ERRORS):
        problems.queues.find_problems()
    pass_time(clock, BOUND * MINUTE)

    text = "\n".join(subjects(mailbox))
    assert [name for name in ("Broker", "Cache", "Queue emails") if name not in text] == []
    assert "Resolved" not in text


def test_two_processes_report_nothing_twice(clock):
    Problem.objects.record("Broker", "down", timezone.now() - HOUR)
    now, claimed = timezone.now(), []
    begin = threading.Barrier(4)

    def claim():
        begin.wait()
        claimed.extend(Problem.objects.claim("mailed_at", now))
        connections.close_all()

    threads = [threading.Thread(target=claim) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [problem.name for problem in claimed] == ["Broker"]


def test_only_one_process_checks_within_a_minute(clock):
    pause = timedelta(seconds=55)

    assert [LastCheck.objects.claim(timezone.now(), pause) for _ in range(3)] == [
        True,
        False,
        False,
    ]
    clock.shift(MINUTE)
    assert LastCheck.objects.claim(timezone.now(), pause)


def test_a_clock_that_was_ahead_stops_no_report(mailbox, clock, failed_task):
    clock.shift(timedelta(days=400))
    pass_time(clock, BOUND * MINUTE)
    clock.shift(-timedelta(days=400))
    mailbox.clear()
    TaskRun.objects.update(finished_at=timezone.now())
    pass_time(clock, BOUND * MINUTE)

    assert subjects(mailbox) == ["[Service] Problem: Failed tasks"]


def test_a_machine_whose_clock_is_behind_reports_nothing_twice(
    mailbox, clock, signals, failed_task
):
    pass_time(clock, BOUND * MINUTE)
    pass_time(clock, HOUR, step=10 * MINUTE)
    clock.shift(-10 * MINUTE)
    pass_time(clock, BOUND * MINUTE)
    failed_task.delete()
    pass_time(clock, MINUTE)

    assert subjects(mailbox)[2:] == ["[Service] Resolved: Failed tasks"]
    assert signals == [("Failed tasks", state) for state in STATES]


@pytest.mark.usefixtures("failed_task")
def test_web_checks_with_its_requests_while_no_beat_runs(client, mailbox, settings, monkeypatch):
    settings.HEALTH_CHECK_INTERVAL = timedelta(seconds=0.1)
    settings.PROBLEM_DELAY = timedelta(0)
    monkeypatch.setattr(alerts.Web, "next_check", 0.0)

    def mailed():
        assert client.get("/health/live").status_code == 200
        return mailbox.messages

    wait_until(mailed)
    wait_until(lambda: not parts.questions["health-check"].is_alive())

    assert subjects(mailbox) == ["[Service] Problem: Failed tasks"]


def test_a_database_that_is_down_is_a_log_line_and_no_error_of_the_request(
    client, caplog, settings, monkeypatch
):
    monkeypatch.setattr(alerts.Web, "next_check", 0.0)
    address = {"HOST": "127.0.0.1", "PORT": free_port(), "ENGINE": "django.db.backends.postgresql"}
    broken = connections.settings["default"] | address | {"OPTIONS": {}}
    monkeypatch.setattr(connections, "settings", {"default": broken})

    assert client.get("/health/live").status_code == 200
    wait_until(lambda: "health_check_failed" in caplog.text)


def test_a_machine_without_a_free_thread_is_a_log_line_and_no_error_of_the_request(
    client, caplog, monkeypatch
):
    monkeypatch.setattr(alerts.Web, "next_check", 0.0)
    error = RuntimeError("can't start new thread")
    monkeypatch.setattr(parts.Question, "start", Mock(side_effect=error))

    assert client.get("/health/live").status_code == 200
    assert "can't start new thread" in caplog.text


@pytest.mark.usefixtures("failed_task")
def test_beat_checks_by_itself(settings):
    settings.BEAT_LEASE = HOUR
    assert "check health" in current_app.conf.beat_schedule
    beat = Beat()
    beat.run_due()
    make_due("check health")
    beat.run_due()
    beat.sweeps.wait()

    wait_until(Problem.objects.filter(name="Failed tasks").exists)


# Settings


@pytest.mark.parametrize(
    ("admins", "faults"),
    [
        ([], 0),
        ([("", "ann@example.com"), "Bob <bob@example.com>"], 0),
        ([("Ann", "ann@bücher.example")], 0),
        *(([("", address)], 1) for address in NOT_ONE_ADDRESS),
        *(([entry], 1) for entry in NOT_AN_ENTRY),
        *(([f"Jos{odd} <ann@example.com>"], 1) for odd in ("\udce9", "\x00")),
        *(
            ([f"ann@example.com{end}"], 1)
            for end in ("\x00", "\nBcc: x@example.com", ";", ",", "\u2028")
        ),
        ("ann@example.com", 1),
        (None, 1),
    ],
)
def test_addresses_that_cannot_work_are_refused(settings, admins, faults):
    settings.ADMINS = admins

    found = [error.id for error in run_checks(tags=["health"])]
    assert found == ["health.E001"] * faults


def test_a_sender_that_cannot_work_is_refused(settings):
    settings.SERVER_EMAIL = "root"

    assert [error.id for error in run_checks(tags=["health"])] == ["health.E002"]


@pytest.mark.parametrize(("admins", "ids"), [([], ["health.W001"]), (["ann@example.com"], [])])
def test_a_service_without_addresses_is_a_warning_of_the_deployment(settings, admins, ids):
    settings.ADMINS = admins

    found = run_checks(tags=["health"], include_deployment_checks=True)
    assert [warning.id for warning in found] == ids
