"""The settings that the engine reads, with their defaults: `conf.BEAT_LEASE`.

A Django setting of the same name replaces a default, also in a test that changes it.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Generic, TypeVar

from django.conf import settings

Value = TypeVar("Value")


class Setting(Generic[Value]):
    """A Django setting with a default."""

    def __init__(self, default: Value) -> None:
        self.default = default

    def __set_name__(self, _owner: type, name: str) -> None:
        self.name = name

    def __get__(self, _instance: object, _owner: type) -> Value:
        value: Value = getattr(settings, self.name, self.default)
        return value


class Conf:
    """The engine's settings. Those without a default here are Django's or Celery's own."""

    # Retries of a task wait twice as long each time, and a random part of it. With these three, 20
    # retries last an hour on average, longer than most outages.
    TASK_RETRY_INITIAL_DELAY = Setting(1.0)  # seconds
    TASK_RETRY_MAX_DELAY = Setting(600)  # seconds
    TASK_MAX_RETRIES = Setting(20)
    # The clock of a worker may be ahead of the database's: the message of a retry comes this much late.
    TASK_RETRY_MARGIN = Setting(timedelta(seconds=1))
    # A lease is longer than the hard limit by this much. The worker's main process needs the time to
    # notice the limit and to end the task.
    TASK_LEASE_MARGIN = Setting(timedelta(seconds=15))
    # Steps before and after the clock of the hard limit; part of the broker's visibility time-out.
    TASK_LIMIT_MARGIN = Setting(60)  # seconds
    # During a release, workers of the old version wait for those of the new one before a durable task
    # that they do not know, or whose arguments do not fit, fails.
    RELEASE_WINDOW = Setting(timedelta(hours=1))
    RELEASE_RETRY_DELAY = Setting(timedelta(seconds=60))  # a sweep publishes it then
    TASK_RETENTION = Setting(timedelta(days=7))  # done tasks: long enough to look back a week
    FAILED_TASK_RETENTION = Setting(timedelta(days=90))  # failed tasks: a quarter to replay them
    AUDIT_RETENTION = Setting(timedelta(days=365))  # who did what in the console

    # The console and the home page report a queue whose oldest row waits longer. A sweep publishes a
    # lost message within a minute, so five mean that workers are missing or too few.
    QUEUE_MAX_WAIT = Setting(timedelta(minutes=5))
    # Pages of the console refresh this often, and at once for an event `console` on their body.
    CONSOLE_POLL_INTERVAL = Setting(10)  # seconds
    # The shortest time between two checks of the service, by Beat or a web process; None: no process
    # checks. It is less than the minute of Beat's entry, so that an early tick is not left out.
    HEALTH_CHECK_INTERVAL: Setting[timedelta | None] = Setting(timedelta(seconds=55))
    # Only a problem that two checks have found is reported: a restart of a worker is no problem.
    PROBLEM_DELAY = Setting(timedelta(seconds=50))
    PROBLEM_INTERVAL = Setting(timedelta(hours=1))  # between two emails about a problem that lasts
    # Models of the service, each as "app.Model", with a `correlation_id` as tasks and mails have it. The
    # console shows their rows beside the task of the same id.
    CORRELATED_MODELS: Setting[tuple[str, ...]] = Setting(())

    # Clients that can read /metrics; without both settings there is no such page. Prometheus sends the
    # token, and comes from one of the networks, such as 10.0.0.0/8. If both are set, it must do both.
    METRICS_TOKEN = Setting("")
    METRICS_NETWORKS: Setting[Sequence[str]] = Setting(())

    # Longer than the slowest delivery that can succeed; the service derives it from its limits.
    EMAIL_LEASE = Setting(timedelta(seconds=60))
    EMAIL_MAX_ATTEMPTS = Setting(50)  # with the delays below, five hours on average
    EMAIL_RETRY_INITIAL_DELAY = Setting(timedelta(seconds=5))
    EMAIL_RETRY_MAX_DELAY = Setting(timedelta(seconds=600))
    EMAIL_RETRY_MARGIN = Setting(timedelta(seconds=1))  # as TASK_RETRY_MARGIN
    EMAIL_RETENTION = Setting(timedelta(days=90))  # as long as providers report about a mail
    # Most servers refuse more than 25 MB, and base64 adds a third.
    EMAIL_MAX_ATTACHMENTS_SIZE = Setting(18_000_000)  # bytes, all attachments of a mail together

    # After a time-out, all callers in a process fail at once for this long; the broker and the cache
    # each. With many requests a second one of them waits, and the return of Redis is noticed soon.
    BROKER_CIRCUIT_RESET = Setting(timedelta(seconds=5))

    # Proxies in front of web; with one or more, the request's id may come from it.
    TRUSTED_PROXIES = Setting(1)

    # The leading Beat renews its lease three times within it, so one slow answer costs nothing, and
    # another Beat takes over well within 30 s.
    BEAT_LEASE = Setting(timedelta(seconds=15))
    # The heartbeat task runs every 15 s: four were missed.
    HEARTBEAT_MAX_AGE = Setting(60.0)  # seconds
    BEAT_FOLLOWER_INTERVAL = Setting(
        1.0
    )  # seconds until another Beat notices that the leader stopped

    # Sentry's address for this service; without one nothing of Sentry is imported.
    SENTRY_DSN = Setting("")
    # URL of a collector that takes OTLP over HTTP; without one there are no traces. The SDK reads this
    # variable, and all others that begin with OTEL_, from the environment.
    OTEL_EXPORTER_OTLP_ENDPOINT = Setting("")

    @property
    def visibility_timeout(self) -> float:
        """Seconds after which Redis delivers an unacknowledged message again."""
        options: dict[str, Any] = settings.CELERY_BROKER_TRANSPORT_OPTIONS
        return float(options["visibility_timeout"])


conf = Conf()
