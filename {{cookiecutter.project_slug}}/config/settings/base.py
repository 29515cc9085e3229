"""What holds everywhere. 12-factor: everything that differs by place is read from the environment."""

from datetime import timedelta
from typing import Any

from csp.constants import NONE, SELF

from config.settings.celery import *
from config.settings.email import *
from config.settings.env import BASE_DIR, env, redis_database
from config.settings.logging import *
from config.settings.sentry import *

SERVICE_NAME = "{{ cookiecutter.__project_name }}"  # fmt: skip
SERVICE_DESCRIPTION = "{{ cookiecutter.__description }}"  # fmt: skip

SECRET_KEY = env.str("SECRET_KEY")
DEBUG = False
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["{{ cookiecutter.domain_name }}"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
# Where links in mails lead to; the front end may live on another host than this service.
FRONTEND_URL = env.str("FRONTEND_URL", default="https://{{ cookiecutter.domain_name }}")

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
    "durable.mail",
    "apps.notifications",
    "apps.pages",
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
    "durable.health.middleware.HealthMiddleware",  # first: it asks nothing that the others ask
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

# What a page may load, and where it may send anything. Nothing inline: a script that somebody
# smuggles into a page does not run. Sockets of the same host count as its own.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "form-action": [SELF],  # a password goes nowhere else
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
        "object-src": [NONE],
    }
}

DATABASES: dict[str, dict[str, Any]] = {"default": env.db_url("DATABASE_URL")}
if "sqlite" in DATABASES["default"]["ENGINE"]:
    DATABASES["default"].setdefault("OPTIONS", {}).update(
        # Readers go on while one writes, and a write takes its lock at the start, so two
        # writers wait for each other instead of failing half-way.
        init_command="PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
        transaction_mode="IMMEDIATE",
        timeout=20,  # seconds a writer waits for another
    )
else:
    DATABASES["default"] |= {
        "CONN_MAX_AGE": env.int("DATABASE_CONN_MAX_AGE", default=60),  # seconds
        "CONN_HEALTH_CHECKS": True,
    }
    # Without, a server that is gone from the network costs minutes. Those in DATABASE_URL go before.
    DATABASES["default"]["OPTIONS"] = {
        "connect_timeout": 5,  # seconds
        # An open connection is given up after 15 s of silence, well before any soft limit.
        "keepalives_idle": 5,  # seconds
        "keepalives_interval": 5,  # seconds
        "keepalives_count": 2,
        "tcp_user_timeout": 15_000,  # milliseconds
        # The old primary, which takes no writes after a failover, counts as away: that is tried again.
        "target_session_attrs": "read-write",
    } | DATABASES["default"].get("OPTIONS", {})
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = env.str("REDIS_URL", default="redis://127.0.0.1:6379/0")
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": env.str("CACHE_URL", default=redis_database(REDIS_URL, 1)),
        # Seconds: a page without its cache is better than a page that hangs.
        "OPTIONS": {"socket_connect_timeout": 1, "socket_timeout": 1},
    }
}

# How long what a user was told is kept, read or not.
NOTIFICATION_RETENTION = timedelta(days=env.int("NOTIFICATION_RETENTION_DAYS", default=90))

# Where open pages hear what is new; without such a place, they ask every ten seconds.
# % if not cookiecutter.use_channels
LIVE_URL = ""

# % endif
# % if cookiecutter.use_channels
from redis.asyncio.retry import Retry  # noqa: E402 - belongs to this option alone
from redis.backoff import NoBackoff  # noqa: E402 - the same

LIVE_URL = "/ws/live/"
CHANNEL_LAYERS = {
    "default": {
        # One connection per process and nothing kept: who was away reads the database.
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {
            "hosts": [
                {
                    "address": env.str("CHANNEL_LAYER_URL", default=REDIS_URL),
                    # Seconds; a live message is worth no longer wait.
                    "socket_connect_timeout": 1,
                    "socket_timeout": 1,
                    # A connection that Redis has closed since its last use is made again at once.
                    "retry": Retry(NoBackoff(), retries=1),
                }
            ],
            # What is published is heard in all databases of a Redis.
            "prefix": "{{ cookiecutter.project_slug }}",
        },
    }
}
# Seconds between two signs of life to an open page: proxies close a connection that is silent for 60.
# As often, the page's user is looked up again: two queries.
LIVE_PING_INTERVAL = env.float("LIVE_PING_INTERVAL", default=25.0)
LIVE_SOCKETS_PER_USER = 10  # open pages; the next ones ask every half minute instead of being told

# % endif
# % if cookiecutter.use_flower
# In a container, whose network is its own, 0.0.0.0.
FLOWER_ADDRESS = env.str("FLOWER_ADDRESS", default="127.0.0.1")
FLOWER_PORT = env.int("FLOWER_PORT", default=5555)
# `name:password`, several separated by commas. Without one, only Flower itself does not start.
FLOWER_BASIC_AUTH = env.list("FLOWER_BASIC_AUTH", default=[])

# % endif
# % if cookiecutter.use_examples
# How many proxies stand in front of web; each adds to X-Forwarded-For who asked it.
TRUSTED_PROXIES = env.int("TRUSTED_PROXIES", default=1)
# Where apps/orders has payments taken; `make dev` starts a gateway that takes no money.
PAYMENT_GATEWAY_URL = env.str("PAYMENT_GATEWAY_URL", default="")
# Seconds to connect: somewhat more than 3, when a lost packet comes again. Seconds for the answer: a
# bank may take its time. Together they end well before the task's soft limit of 60 s; asking again
# charges nobody twice.
PAYMENT_GATEWAY_TIMEOUT = (3.05, 20.0)

# % endif
AUTH_USER_MODEL = "users.User"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "home"
SILENCED_SYSTEM_CHECKS = [
    # The address is unique in any letter case, by a constraint that this check does not see.
    "auth.E003",
    # % if cookiecutter.email_provider == "sendgrid"
    # Anymail no longer tries its backend against SendGrid; durable/tests/providers/sendgrid.py tests it here.
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
TIME_ZONE = "{{ cookiecutter.timezone }}"
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
