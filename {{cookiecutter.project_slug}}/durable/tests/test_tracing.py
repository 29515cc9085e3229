"""Traces from a request to its tasks, its mail and the provider's report, through real processes."""

import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from durable import tracing
from durable.api import Email, TaskRun
from durable.tasks.checks import check_tracing
from durable.testing.workers import Worker, wait_until
from durable.tests import probes

pytestmark = pytest.mark.django_db(transaction=True)

# A web process of its own: Django is instrumented when it is set up.
REQUEST = """
import re
import sys

import django

django.setup()

from django.apps import apps
from django.http import HttpResponse
from django.test import Client
from django.urls import path

from durable.api import send_email
from durable.tests import probes


def work(_request, secret):
    probes.durable.apply_async(("first",), link=probes.durable_link.s("second"))
    probes.echo.delay("plain")
    send_email("test_email", "ann@example.com", {"queued_by": "a test"})
    return HttpResponse()


class urls:
    urlpatterns = [path("invitations/accept/<str:secret>/", work)]


sys.modules["urls"] = urls
from django.conf import settings

settings.ROOT_URLCONF = "urls"
apps.get_app_config("tasks").secret = re.compile("(?<=/accept/)[^/]+")
settings.ALLOWED_HOSTS = ["testserver"]
client = Client(headers={"traceparent": sys.argv[1]})
assert client.get("/invitations/accept/the-secret/").status_code == 200
from durable import tracing

tracing.flush()
"""
REPORT = """
import sys

import django

django.setup()

from anymail.signals import AnymailTrackingEvent

from durable import tracing
from durable.mail.provider_events import record_report

event = AnymailTrackingEvent(event_type="delivered", message_id=sys.argv[1], event_id="1")
record_report(None, event, "Test")
tracing.flush()
"""
TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = f"00-{TRACE}-b7ad6b7169203331-01"


class Collector(ThreadingHTTPServer):
    """A collector of OpenTelemetry that keeps the spans it gets by HTTP."""

    def __init__(self):
        self.spans = []
        super().__init__(("127.0.0.1", 0), Handler)

    def named(self, name):
        return [span for span in self.spans if span.name == name]


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                self.server.spans.extend(scope.spans)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def collector(monkeypatch, settings):
    with Collector() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        settings.OTEL_EXPORTER_OTLP_ENDPOINT = endpoint
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        yield server
        server.shutdown()


@pytest.fixture
def traced_worker(worker, collector):
    """A worker that exports its spans, in place of the worker of the tests."""
    worker.kill()
    exported = {name: os.environ[name] for name in os.environ if name.startswith("OTEL_")}
    traced = Worker(**exported)
    traced.start(as_in_production=True)
    traced.wait()
    yield traced
    traced.kill()


def run(source, *arguments):
    """Run Python in a process of its own, which sees the same database."""
    done = subprocess.run(
        [sys.executable, "-c", source, *arguments], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def attributes(span):
    return {each.key: each.value.string_value for each in span.attributes}


def test_one_trace_holds_a_request_and_all_that_it_causes(collector, traced_worker, mailbox):
    run(REQUEST, CALLER)
    names = {"tests.durable", "tests.durable_link", "tests.echo", "deliver mail"}
    wait_until(lambda: names <= {span.name for span in collector.spans})
    run(REPORT, Email.objects.get().message_id)

    assert {span.trace_id.hex() for span in collector.spans} == {TRACE}
    (first,), (second,) = collector.named("tests.durable"), collector.named("tests.durable_link")
    assert second.parent_span_id == first.span_id
    assert attributes(first)["messaging.destination.name"] == "default"
    (report,) = collector.named("report of mail")
    assert attributes(report) == {"email.report": "delivered", "email.provider": "Test"}
    assert "the-secret" not in str(collector.spans)
    assert len(mailbox.messages) == 1


def test_a_task_that_fails_is_an_error_without_its_text(collector, traced_worker):
    probes.failing.delay(password="the-secret")
    wait_until(lambda: collector.named("tests.failing"))

    (span,) = collector.named("tests.failing")
    assert (span.status.code, span.status.message) == (
        Status.STATUS_CODE_ERROR,
        "ZeroDivisionError",
    )
    assert "the-secret" not in str(span)


@pytest.mark.parametrize("odd", ["", "00-0-0-0", "\x00", "x" * 10_000, None, 7, {}])
def test_an_odd_context_begins_a_trace(collector, odd):
    with tracing.span("odd", odd, {}):
        pass

    assert collector.spans == []  # this process exports none


def test_without_an_endpoint_no_part_of_tracing_is_imported():
    loaded = run("import sys, django; django.setup(); print([*sys.modules])")

    # redis imports the package of metrics by itself if it is installed.
    for part in ("sdk.trace", "exporter", "instrumentation"):
        assert f"opentelemetry.{part}" not in loaded
    assert "durable.tracing" in loaded
    assert tracing.traceparent() == ""


@pytest.mark.parametrize(
    ("endpoint", "faults"),
    [
        *((url, 0) for url in ("", "http://collector:4318", "https://otel.example.com/v1?a=b")),
        *(
            (url, 1)
            for url in ("collector:4318", "grpc://collector", "http://", "http://a b", "nan")
        ),
    ],
)
def test_an_endpoint_that_is_no_url_is_refused(settings, endpoint, faults):
    settings.OTEL_EXPORTER_OTLP_ENDPOINT = endpoint

    assert [found.id for found in check_tracing()] == ["tasks.E005"] * faults


def test_rows_without_a_trace_have_no_context():
    probes.durable.delay("one")

    assert TaskRun.objects.get().traceparent == ""
