"""One scrape: asks database, broker and cache at the same time, and answers with what is there in time."""

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

import structlog
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from durable import __version__
from durable.console.metrics.broker import read_broker
from durable.console.metrics.database import read_database
from durable.console.metrics.workers import read_workers
from durable.health.parts import Question, start

TIMEOUT = 1.5  # seconds for all parts together; Prometheus waits for 10
PARTS: dict[str, Callable[[], Iterable[Metric]]] = {
    "database": read_database,
    "broker": read_broker,
    "cache": read_workers,
}


logger = structlog.get_logger(__name__)


class Scrape(Collector):
    """The metrics of this moment."""

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics that could be read, and which parts answered."""
        deadline = time.monotonic() + TIMEOUT
        asked = {name: start(f"metrics-{name}", read) for name, read in PARTS.items()}
        found = {name: answer(name, question, deadline) for name, question in asked.items()}
        up = GaugeMetricFamily("durable_up", "Whether a part answered the scrape.", labels=["part"])
        for name, metrics in found.items():
            up.add_metric([name], float(metrics is not None))
        version = GaugeMetricFamily("durable_build_info", "The engine.", labels=["version"])
        version.add_metric([__version__], 1)
        yield from (up, version)
        yield from chain.from_iterable(filter(None, found.values()))


def answer(name: str, question: Question, deadline: float) -> list[Metric] | None:
    """Wait for a part until `deadline`, a time of the monotonic clock; return None if it did not answer."""
    question.join(max(0.0, deadline - time.monotonic()))
    if question.is_alive() or question.error:
        error = question.error or TimeoutError(f"no answer within {TIMEOUT:g} s")
        logger.warning("scrape_incomplete", part=name, error=f"{type(error).__name__}: {error}")
        return None
    return list(question.answer)
