"""Celery: behaviour, limits and time-outs, each with its reason."""

from datetime import timedelta
from typing import Any

from redis.connection import parse_url

from config.queues import (
    LIMIT_MARGIN,
    RETRY_MAX_DELAY,
    ROUTES,
    VISIBILITY_TIMEOUT,
    Limits,
    broker_queues,
    route_task,
)
from config.schedule import SCHEDULE
from config.settings.env import env
from config.settings.redis import REDIS_PREFIX, REDIS_URL

# kombu has another form for the URL of a Unix socket.
CELERY_BROKER_URL = env.str(
    "CELERY_BROKER_URL",
    default=REDIS_URL.replace("unix://", "redis+socket://").replace("?db=", "?virtual_host="),
)
# Celery by itself accepts any certificate; this verifies the broker's, as the cache's is verified.
# Monitoring tools read this setting instead of the URL, so it repeats the URL's ssl_… options.
CELERY_BROKER_USE_SSL: dict[str, Any] | bool = False
if CELERY_BROKER_URL.startswith("rediss:"):
    CELERY_BROKER_USE_SSL = {"ssl_cert_reqs": "required"} | {
        name: value
        for name, value in parse_url(CELERY_BROKER_URL.split(";")[0]).items()  # type: ignore[no-untyped-call]
        if name.startswith("ssl_")
    }
CELERY_TIMEZONE = "{{ cookiecutter.timezone }}"

CELERY_TASK_QUEUES = broker_queues()
CELERY_TASK_DEFAULT_QUEUE = ROUTES[-1].queue
CELERY_TASK_CREATE_MISSING_QUEUES = False  # a mistyped queue fails at once, not silently
CELERY_TASK_ROUTES = (route_task,)
CELERY_TASK_ANNOTATIONS = (Limits(),)

# Acknowledge a message when its task has ended, so a killed worker loses none.
CELERY_TASK_ACKS_LATE = True
# A killed pool process loses none either: its message is delivered again at once, and
# durable/tasks/crashes.py counts the crashes.
CELERY_TASK_REJECT_ON_WORKER_LOST = True

# The engine's settings. durable/conf.py has the others, with their defaults and reasons.
TASK_RETRY_MAX_DELAY = RETRY_MAX_DELAY
TASK_LIMIT_MARGIN = LIMIT_MARGIN
TASK_RETENTION = timedelta(days=env.int("TASK_RETENTION_DAYS", default=7))
FAILED_TASK_RETENTION = timedelta(days=env.int("FAILED_TASK_RETENTION_DAYS", default=90))
AUDIT_RETENTION = timedelta(days=env.int("AUDIT_RETENTION_DAYS", default=365))
OTEL_EXPORTER_OTLP_ENDPOINT = env.str("OTEL_EXPORTER_OTLP_ENDPOINT", default="")

CELERY_WORKER_PREFETCH_MULTIPLIER = 1  # message per process: none waits behind a running task
# A task continues when the broker's connection is lost; it may run twice, so tasks are idempotent.
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_WORKER_MAX_TASKS_PER_CHILD = 1000  # tasks until a process is replaced, against slow leaks
CELERY_WORKER_MAX_MEMORY_PER_CHILD = 400_000  # KiB until a process is replaced after its task
# Seconds that running tasks get after SIGTERM (with REMAP_SIGTERM=SIGQUIT). Unfinished ones are
# requeued. The grace period of the deployment is 20 s longer.
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = env.float("WORKER_SOFT_SHUTDOWN_TIMEOUT", default=20.0)
# Celery opens a database connection per task by default. Here a process keeps its connection, and
# the engine checks it before each task.
CELERY_DB_REUSE_MAX = 1000  # tasks
CELERY_WORKER_SEND_TASK_EVENTS = False  # events cut throughput to about half

CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = "json"
CELERY_RESULT_SERIALIZER = "json"

# A result is stored only if its task sets `ignore_result=False`. The state of a durable task is known
# without: its row has it.
CELERY_RESULT_BACKEND = "durable.tasks.results:Backend"
CELERY_RESULT_EXTENDED = True
CELERY_RESULT_EXPIRES = timedelta(days=1)
CELERY_TASK_IGNORE_RESULT = True

CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # a worker never stops trying to connect
# Also while the broker refuses commands: a replica after a failover, or a full disk.
CELERY_BROKER_CHANNEL_ERROR_RETRY = True
CELERY_WORKER_CONSUMER = "durable.broker.consumer:Consumer"
CELERY_BROKER_POOL_LIMIT = 10  # connections kept open per process
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = {
    "global_keyprefix": f"{REDIS_PREFIX}:broker:",
    "visibility_timeout": VISIBILITY_TIMEOUT.total_seconds(),
    # Seconds. A publisher waits for one of these at most, so a broker that is down or hangs costs a
    # request less than a second. Workers wait longer: CELERY_WORKER_BROKER_TIMEOUT.
    "socket_connect_timeout": 0.5,
    "socket_timeout": 0.5,
    # A publisher tries to connect once. Workers have a loop of their own, Beat tries again soon.
    "max_retries": 0,
    "socket_keepalive": True,
    "health_check_interval": 5,
    # Look for unacked messages every 2 s instead of every 100 s.
    "unacked_restore_interval": 2,
    "unacked_restore_throttle": 1,
    # One worker at a time looks. If it dies meanwhile, the others wait for this long, not 300 s.
    "unacked_mutex_expire": 10,
    # % if cookiecutter.queues == "by_priority"
    # A worker receives from the first of its queues that is not empty, in the order of its -Q.
    "queue_order_strategy": "priority",
    # % endif
}
# The caller gets the error at once. Work that must happen is a row, and the sweeper publishes again.
CELERY_TASK_PUBLISH_RETRY = False
# Seconds that a worker waits for a reply of its broker, and between two health checks of a
# connection. A half-open connection stops the worker for two to four times as long.
CELERY_WORKER_BROKER_TIMEOUT = env.float("WORKER_BROKER_TIMEOUT", default=5.0)

CELERY_BEAT_SCHEDULER = "durable.beat.scheduler:DeclaredScheduler"
CELERY_BEAT_SCHEDULE = SCHEDULE
CELERY_BEAT_MAX_LOOP_INTERVAL = 5  # seconds until Beat notices a change in the admin
DJANGO_CELERY_BEAT_TZ_AWARE = True
