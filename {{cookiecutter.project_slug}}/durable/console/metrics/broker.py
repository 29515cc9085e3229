"""What the broker knows. It is asked without a circuit breaker: a scrape must see the moment it is back."""

from collections.abc import Iterator
from ssl import SSLCertVerificationError

from celery import current_app
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from redis.exceptions import RedisError

from durable.broker.queues import check_writes, lengths
from durable.errors import BROKER_ERRORS


def read_broker() -> list[Metric]:
    """Return the messages of each queue, and whether the broker accepts writes.

    Raises:
        kombu.exceptions.OperationalError, redis.exceptions.RedisError: the broker does not answer.
    """
    certificate = GaugeMetricFamily(
        "durable_broker_certificate_refused",
        "Whether the certificate of the broker is not trusted, or expired.",
    )
    writable = GaugeMetricFamily("durable_broker_writable", "Whether the broker accepts writes.")
    messages = GaugeMetricFamily(
        "durable_queue_messages", "Messages that wait in the broker.", labels=["queue"]
    )
    try:
        with current_app.connection_for_write() as broker:
            channel = broker.default_channel
            for queue, count in lengths(channel).items():
                messages.add_metric([queue], count)
            writable.add_metric([], float(accepts_writes(channel)))
    except BROKER_ERRORS as error:
        if not is_of_certificate(error):
            raise
        certificate.add_metric([], 1)
        return [certificate]
    certificate.add_metric([], 0)
    return [certificate, writable, messages]


def accepts_writes(channel: object) -> bool:
    """Whether the broker accepts writes: a full one and a replica answer everything else."""
    try:
        check_writes(channel)
    except RedisError:
        return False
    return True


def is_of_certificate(error: BaseException) -> bool:
    """Whether an error comes from a certificate that was not accepted."""
    return any(
        isinstance(each, SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(each)
        for each in causes(error)
    )


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what caused it."""
    while error:
        yield error
        error = error.__cause__ or error.__context__
