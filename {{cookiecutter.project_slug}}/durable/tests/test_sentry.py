"""Sentry: one trace from a request to its tasks and its mail, and a monitor for each periodic task."""

import gzip
import json
import os
import subprocess
import sys
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from durable import sentry
from durable.api import Email, TaskRun
from durable.beat.tests.helpers import make_due
from durable.testing.workers import Worker, wait_until
from durable.tests.beats import Beat

pytestmark = pytest.mark.django_db(transaction=True)

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
# A web process of its own: Sentry wraps Django when the settings are read.
REQUEST = """
import sys

from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()

from django.conf import settings
from django.http import HttpResponse
from django.test import RequestFactory
from django.urls import path

from durable.api import send_email
from durable.tests import probes


def work(_request):
    probes.durable.apply_async(("first",), link=probes.durable_link.s("second"))
    probes.echo.delay("plain")
    send_email("test_email", "ann@example.com", {"queued_by": "a test"})
    return HttpResponse()


class urls:
    urlpatterns = [path("work/", work)]


sys.modules["urls"] = urls
settings.ROOT_URLCONF = "urls"
environ = RequestFactory(headers={"sentry-trace": sys.argv[1]}).get("/work/").environ
answers = []
body = application(environ, lambda status, headers: answers.append(status))
body.close()
assert answers == ["200 OK"], answers
"""
SWEEP = """
import django

django.setup()

import config.celery
from durable.tasks.tasks import requeue_stuck_runs
from durable.tests import probes

assert requeue_stuck_runs() == 1
"""
REPORT = """
import sys

import django

django.setup()

from anymail.signals import AnymailTrackingEvent

from durable.mail.provider_events import record_report

event = AnymailTrackingEvent(event_type="delivered", message_id=sys.argv[1], event_id="1")
record_report(None, event, "Test")
"""


class Server(ThreadingHTTPServer):
    """A Sentry that keeps what it gets, by type; https://develop.sentry.dev/sdk/data-model/envelopes/."""

    def __init__(self):
        self.items = defaultdict(list)
        super().__init__(("127.0.0.1", 0), Handler)

    def receive(self, envelope):
        _header, *rest = envelope.split(b"\n")
        for kind, payload in zip(rest[::2], rest[1::2], strict=False):
            self.items[json.loads(kind)["type"]].append(json.loads(payload))

    def transactions(self):
        return {item["transaction"] for item in self.items["transaction"]}

    def traces(self):
        found = self.items["transaction"] + self.items["event"]
        return {item["contexts"]["trace"]["trace_id"] for item in found}

    def check_ins(self):
        """Return the states of each run of each monitor."""
        runs = defaultdict(lambda: defaultdict(list))
        for item in self.items["check_in"]:
            runs[item["monitor_slug"]][item["check_in_id"]].append(item["status"])
        return {slug: list(states.values()) for slug, states in runs.items()}


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        self.server.receive(body)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("TEST_SENTRY_DSN", f"http://key@127.0.0.1:{server.server_port}/1")
        monkeypatch.setenv("SENTRY_TRACES_SAMPLE_RATE", "1")
        yield server
        server.shutdown()


@pytest.fixture
def sentry_worker(worker, server):
    """A worker that reports to the server, in place of the worker of the tests."""
    worker.kill()
    names = ("TEST_SENTRY_DSN", "SENTRY_TRACES_SAMPLE_RATE")
    own = Worker(**{name: os.environ[name] for name in names})
    own.start(as_in_production=True)
    own.wait()
    yield own
    own.kill()


@pytest.fixture
def beat():
    """Return a started Beat."""
    beats = []

    def start():
        beats.append(Beat())
        beats[-1].wait()
        return beats[-1]

    yield start
    for each in beats:
        each.end()


def run(source, *arguments):
    """Run Python in a process of its own, which sees the same database."""
    done = subprocess.run(
        [sys.executable, "-c", source, *arguments], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_one_trace_holds_a_request_and_all_that_it_causes(server, sentry_worker, mailbox):
    run(REQUEST, f"{TRACE}-{SPAN}-1")
    names = {"tests.durable", "tests.durable_link", "tests.echo", "deliver mail", "/work/"}
    wait_until(lambda: names <= server.transactions())
    wait_until(Email.objects.filter(status="sent").exists)
    run(REPORT, Email.objects.get().message_id)
    wait_until(lambda: "report of mail" in server.transactions())

    assert server.traces() == {TRACE}
    assert TaskRun.objects.filter(traceparent__startswith=f"00-{TRACE}-").count() == 2
    assert len(mailbox.messages) == 1


def test_a_task_that_a_sweep_publishes_belongs_to_the_trace_of_its_request(server, sentry_worker):
    TaskRun.objects.create(
        name="tests.failing",
        queue="default",
        traceparent=f"00-{TRACE}-{SPAN}-01",
        kwargs={"password": "the-secret"},
    )
    run(SWEEP)

    wait_until(lambda: server.items["event"])
    wait_until(lambda: "tests.failing" in server.transactions())
    [transaction] = [
        item for item in server.items["transaction"] if item["transaction"] == "tests.failing"
    ]
    assert transaction["contexts"]["trace"]["trace_id"] == TRACE
    assert transaction["contexts"]["trace"]["parent_span_id"] == SPAN
    assert "the-secret" not in str(server.items)


def periodic(name, task, **values):
    every_hour = IntervalSchedule.objects.get_or_create(every=1, period="hours")[0]
    PeriodicTask.objects.create(name=name, task=task, interval=every_hour, **values)
    make_due(name)


def test_each_periodic_task_is_a_monitor_also_with_two_beats(server, sentry_worker, beat):
    beat()
    beat()
    periodic("plain", "tests.echo", args='["one"]')
    periodic("durable", "tests.durable", args='["two"]')
    periodic("broken", "tests.failing")
    make_due("requeue stuck emails")
    names = {"plain", "durable", "broken", "requeue stuck emails"}

    def ended():
        found = server.check_ins()
        return all(len(found.get(name, [[]])[0]) == 2 for name in names)

    wait_until(ended)

    found = {name: states for name, states in server.check_ins().items() if name in names}
    sweep = found.pop("requeue stuck emails")  # due each minute, so perhaps again
    assert sweep[0] == ["in_progress", "ok"]
    assert found == {
        "plain": [["in_progress", "ok"]],
        "durable": [["in_progress", "ok"]],
        "broken": [["in_progress", "error"]],
    }
    assert "heartbeat" not in server.check_ins()


@pytest.mark.parametrize("odd", ["", "00-0-0-0", "\x00", "x" * 10_000, None, 7, {}, f"00-{TRACE}"])
def test_an_odd_context_begins_a_trace(settings, odd):
    settings.SENTRY_DSN = "http://key@127.0.0.1:9/1"

    assert sentry.message_headers(odd) == {}


@pytest.mark.parametrize(("flags", "end"), [("01", "-1"), ("00", "-0"), ("02", "")])
def test_a_row_remembers_whether_its_trace_is_sampled(settings, flags, end):
    settings.SENTRY_DSN = "http://key@127.0.0.1:9/1"

    headers = sentry.message_headers(f"00-{TRACE}-{SPAN}-{flags}")
    assert headers["headers"][sentry.TRACE] == f"{TRACE}-{SPAN}{end}"


def test_without_a_dsn_nothing_of_sentry_is_imported():
    loaded = run(
        "import sys, django; django.setup();"
        "import durable.beat.sweeps; print(sorted(name for name in sys.modules if 'sentry' in name))"
    )

    assert loaded == "['config.settings.sentry', 'durable.sentry']"
    assert sentry.traceparent() == ""
    with sentry.transaction("any", None), sentry.check_in("any", None):
        assert "sentry_sdk" not in loaded
