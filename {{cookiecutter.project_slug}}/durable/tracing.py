"""Traces with OpenTelemetry: one from a request to all tasks, mails and reports that it causes.

On if OTEL_EXPORTER_OTLP_ENDPOINT is set; the SDK reads this and its other variables from the
environment. Otherwise nothing of OpenTelemetry is imported here. A message carries only the id of a row, so
the context is in the row, as a W3C `traceparent` (https://www.w3.org/TR/trace-context/).

Without OpenTelemetry, the row has the context of Sentry, if that is on: see durable/sentry.py.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

from celery.exceptions import Ignore, Reject, Retry
from django.apps import apps

from durable import sentry
from durable.conf import conf

TRACEPARENT = "traceparent"  # the header of W3C, in requests and in the messages of plain tasks
MAX_LENGTH = 55  # characters of a traceparent, version 00
# How a task ends that runs again, or that decides itself that it is done: no error.
CONTROL_FLOW = (Ignore, Reject, Retry)
# Attributes of the span of a request that may hold a link's secret.
OF_URL = ("http.url", "http.target", "url.full", "url.path", "url.query")


def is_on() -> bool:
    """Return whether traces are exported."""
    return bool(conf.OTEL_EXPORTER_OTLP_ENDPOINT)


def set_up() -> None:
    """Export the spans of this process, if an endpoint is set; pool processes inherit it by their fork."""
    if not is_on():
        return
    from opentelemetry import trace  # noqa: PLC0415 - only if traces are on, here and below
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )
    from opentelemetry.instrumentation.django import DjangoInstrumentor  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    def clean(span: Any, _request: object) -> None:
        for name in OF_URL:
            if value := (span.attributes or {}).get(name):
                span.set_attribute(name, without_secrets(str(value)))

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    DjangoInstrumentor().instrument(request_hook=clean)


def without_secrets(address: str) -> str:
    """Return an address with each match of an AppConfig's `secret` pattern replaced by "hidden"."""
    for app in apps.get_app_configs():
        if secret := getattr(app, "secret", None):
            address = secret.sub("hidden", address)
    return address


def flush(timeout: float = 2) -> None:
    """Export what is left, before this process ends.

    Args:
        timeout: seconds.
    """
    if is_on():
        from opentelemetry import trace  # noqa: PLC0415

        provider: Any = trace.get_tracer_provider()
        provider.force_flush(int(timeout * 1000))


def traceparent() -> str:
    """Return the context of the running span, or an empty string."""
    if not is_on():
        return sentry.traceparent()
    from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415
        TraceContextTextMapPropagator,
    )

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get(TRACEPARENT, "")


def attributes_of(request: Any) -> dict[str, Any]:
    """Return what the span of a task says about it, in the words of OpenTelemetry; no arguments.

    Args:
        request: of the running task.
    """
    return {
        "messaging.system": "celery",
        "messaging.destination.name": (request.delivery_info or {}).get("routing_key") or "",
        "messaging.message.id": str(request.id),
        "celery.retries": request.retries or 0,
    }


@contextmanager
def span(
    name: str, parent: object, attributes: Mapping[str, Any], *, stays: bool = False
) -> Iterator[Callable[[str, str], None]]:
    """Run a block in a span of its own, which an exception marks as failed.

    Args:
        name: of the span.
        parent: the `traceparent` of what caused it; anything else begins a trace.
        attributes: of the span.
        stays: the span is that of a task: keep the context after the block, until the next one. Celery
            publishes what follows a task once that has returned. Sentry's SDK has a span of its own.

    Yields:
        a function that sets one more attribute.
    """
    with (
        nullcontext() if stays else sentry.transaction(name, parent),
        own_span(name, parent, attributes, stays=stays) as note,
    ):
        yield note


@contextmanager
def own_span(
    name: str, parent: object, attributes: Mapping[str, Any], *, stays: bool
) -> Iterator[Callable[[str, str], None]]:
    """Do as `span`, for OpenTelemetry alone."""
    if not is_on():
        yield lambda _name, _value: None
        return
    from opentelemetry import context, trace  # noqa: PLC0415
    from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415
        TraceContextTextMapPropagator,
    )

    cause = TraceContextTextMapPropagator().extract({TRACEPARENT: str(parent)}, context.Context())
    tracer = trace.get_tracer("durable")
    running = tracer.start_span(name, cause, trace.SpanKind.CONSUMER, attributes)
    token = context.attach(trace.set_span_in_context(running, cause))
    try:
        yield running.set_attribute
    except CONTROL_FLOW:
        raise
    except BaseException as error:
        # Not its text, which may hold a secret.
        running.set_status(trace.StatusCode.ERROR, type(error).__name__)
        raise
    finally:
        running.end()
        if not stays:
            context.detach(token)
