"""Settings of every environment. What differs between environments is read from its variables (12-factor)."""

from datetime import timedelta
from typing import Any

from csp.constants import NONE, SELF

from config.settings.celery import *
from config.settings.email import *
from config.settings.env import BASE_DIR, env
from config.settings.logging import *
from config.settings.redis import *
from config.settings.sentry import *

SERVICE_NAME = "{{ cookiecutter.__project_name }}"  # fmt: skip
EMAIL_SUBJECT_PREFIX = f"[{SERVICE_NAME}] "  # of emails to ADMINS
SERVICE_DESCRIPTION = "{{ cookiecutter.__description }}"  # fmt: skip

SECRET_KEY = env.str("SECRET_KEY")
DEBUG = False
ALLOWED_HOSTS = env.comma_separated("ALLOWED_HOSTS", default="{{ cookiecutter.domain_name }}")
CSRF_TRUSTED_ORIGINS = [url.rstrip("/") for url in env.comma_separated("CSRF_TRUSTED_ORIGINS")]
# Base URL of the links in mails; the front end may run on another host than this service.
FRONTEND_URL = env.base_url("FRONTEND_URL", default="https://{{ cookiecutter.domain_name }}")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_celery_beat",
    "django_celery_results",
    "django_structlog",
    "django_htmx",
    "csp",
    "anymail",
    "apps.users",
    "durable.tasks",
    "durable.beat",
    "durable.mail",
    "durable.health",
    "apps.notifications",
    "apps.pages",
    "durable.console",  # after apps.pages, which has its base template
    # % if cookiecutter.use_examples
    "apps.bookings",
    "apps.contact",
    "apps.invitations",
    "apps.orders",
    "apps.reports",
    # % endif
    # % if cookiecutter.use_channels
    "apps.live",
    # % endif
]

MIDDLEWARE = [
    "durable.middleware.RequestIdMiddleware",  # first: each response names its request
    "durable.health.middleware.HealthMiddleware",  # early: a probe needs no HTTPS, host or session
    "durable.console.metrics.middleware.MetricsMiddleware",  # /metrics, for the same reason
    "durable.middleware.RefuseNULMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "apps.pages.middleware.NoStoreMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
# % if cookiecutter.use_channels
ASGI_APPLICATION = "config.asgi.application"
# % endif
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.debug",
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "apps.pages.context_processors.service",
            ],
        },
    },
]

# What a page may load, and where it may send data. Nothing inline, so an injected script does not
# run. 'self' includes WebSockets of the same host.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "form-action": [SELF],  # an injected form cannot send a password elsewhere
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
        "object-src": [NONE],
    }
}

DATABASES: dict[str, dict[str, Any]] = {"default": env.db_url("DATABASE_URL")}
if "sqlite" in DATABASES["default"]["ENGINE"]:
    DATABASES["default"].setdefault("OPTIONS", {}).update(
        # WAL lets reads continue during a write. IMMEDIATE locks at the start of a transaction, so a
        # second writer waits instead of failing half-way.
        init_command="PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
        transaction_mode="IMMEDIATE",
        timeout=20,  # seconds that a writer waits for the lock
    )
else:
    DATABASES["default"] |= {
        "CONN_MAX_AGE": env.int("DATABASE_CONN_MAX_AGE", default=60),  # seconds
        "CONN_HEALTH_CHECKS": True,
    }
    # Without these, an unreachable server blocks for minutes. Options in DATABASE_URL win.
    DATABASES["default"]["OPTIONS"] = {
        "connect_timeout": 5,  # seconds
        # A dead connection fails after 15 s, well before any soft limit.
        "keepalives_idle": 5,  # seconds
        "keepalives_interval": 5,  # seconds
        "keepalives_count": 2,  # probes
        "tcp_user_timeout": 15_000,  # milliseconds
        # After a failover the old primary is read-only: that counts as unreachable, and is retried.
        "target_session_attrs": "read-write",
    } | DATABASES["default"].get("OPTIONS", {})
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Clients that can read /metrics. Without both settings there is no such page.
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")
METRICS_NETWORKS = env.comma_separated("METRICS_NETWORKS")

# Notifications are deleted after this time, read or not.
CORRELATED_MODELS = ("notifications.Notification",)  # the console shows them beside tasks
NOTIFICATION_RETENTION = timedelta(days=env.int("NOTIFICATION_RETENTION_DAYS", default=90))

# The WebSocket of open pages. Without one, they poll every ten seconds.
# % if not cookiecutter.use_channels
LIVE_URL = ""

# % endif
# % if cookiecutter.use_channels
from redis.asyncio.retry import Retry  # noqa: E402 - belongs to this option alone
from redis.backoff import NoBackoff  # noqa: E402 - the same

LIVE_URL = "/ws/live/"
CHANNEL_LAYERS = {
    "default": {
        # One connection per process, and no stored messages: a page that was offline reads the database.
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {
            "hosts": [
                {
                    "address": env.redis_url("CHANNEL_LAYER_URL", default=REDIS_URL),
                    # Seconds. A live message is not worth a longer wait.
                    "socket_connect_timeout": 1,
                    "socket_timeout": 1,
                    # Reconnect at once if Redis closed the connection since its last use.
                    "retry": Retry(NoBackoff(), retries=1),
                }
            ],
            # Redis delivers a published message to subscribers of all its databases.
            "prefix": f"{REDIS_PREFIX}:live:",
        },
    }
}
# Seconds between pings to an open page: proxies close a connection that is idle for 60 s.
# Each ping also checks the page's user again, with two queries.
LIVE_PING_INTERVAL = env.float("LIVE_PING_INTERVAL", default=25.0)
LIVE_CONSOLE_INTERVAL = 2.0  # seconds until an open page of the console looks for changes again
CONSOLE_POLL_INTERVAL = 30  # seconds; for what the socket does not report
LIVE_SOCKETS_PER_USER = 10  # open pages; further ones poll every 30 s, which bounds the connections

# % endif
# % if cookiecutter.use_flower
# In a container use 0.0.0.0: it has a network of its own.
FLOWER_ADDRESS = env.str("FLOWER_ADDRESS", default="127.0.0.1")
FLOWER_PORT = env.int("FLOWER_PORT", default=5555)
# `name:password`, several separated by commas. Without any, Flower does not start; all else does.
FLOWER_BASIC_AUTH = env.str("FLOWER_BASIC_AUTH", default="")
FLOWER_READ_ONLY = env.bool("FLOWER_READ_ONLY", default=True)  # false: its buttons work
FLOWER_DB = env.str(
    "FLOWER_DB", default=""
)  # file for its counters; they start at zero without one

# % endif
# Number of proxies in front of web. The nearest sets X-Request-ID; each appends its client's address
# to X-Forwarded-For.
TRUSTED_PROXIES = env.int("TRUSTED_PROXIES", default=1)
# % if cookiecutter.use_examples
# Payment gateway of apps/orders; `make dev` starts a fake one.
PAYMENT_GATEWAY_URL = env.str("PAYMENT_GATEWAY_URL", default="")
# Seconds to connect (TCP resends a lost packet after 3 s), and seconds for the answer (banks are slow).
# Together they stay well below the task's soft limit of 60 s. A repeated request charges only once.
PAYMENT_GATEWAY_TIMEOUT = (3.05, 20.0)

# % endif
AUTH_USER_MODEL = "users.User"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "home"
SILENCED_SYSTEM_CHECKS = [
    # A constraint makes addresses unique regardless of case; this check does not see it.
    "auth.E003",
    # % if cookiecutter.email_provider == "sendgrid"
    # Anymail no longer tests its backend against SendGrid; the template's own tests do.
    "anymail.W003",
    # % endif
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{validator}"}
    for validator in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

LANGUAGE_CODE = "en"
FORMAT_MODULE_PATH = "config.formats"
TIME_ZONE = "{{ cookiecutter.timezone }}"
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
