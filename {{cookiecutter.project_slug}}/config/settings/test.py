"""Tests: fixed values regardless of the environment; durable/testing/servers.py sets the servers' URLs."""

import os
from datetime import timedelta

os.environ |= {
    "SECRET_KEY": "a key for tests only",
    "DEFAULT_FROM_EMAIL": "noreply@example.com",
}
os.environ.setdefault("LOG_LEVEL", "WARNING")
os.environ.setdefault("LOG_FORMAT", "console")
os.environ.setdefault("REDIS_PREFIX", "tests")
# Not the developer's: the tests of Sentry have a server of their own.
os.environ["SENTRY_DSN"] = os.environ.get("TEST_SENTRY_DSN", "")
os.environ.setdefault("DATABASE_URL", "sqlite://:memory:")
os.environ.setdefault("EMAIL_URL", "memorymail://")
# % if cookiecutter.use_examples
# The gateway of the tests. Its port is below Linux' range for outgoing connections, differs between
# runs, and is the same in all processes of a run.
os.environ.setdefault("TEST_GATEWAY_PORT", str(20_000 + os.getpid() % 10_000))
os.environ["PAYMENT_GATEWAY_URL"] = f"http://127.0.0.1:{os.environ['TEST_GATEWAY_PORT']}"
# % endif

from config.settings.base import *

TIME_ZONE = CELERY_TIMEZONE = "UTC"
ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # fast; tests only
# Processes that tests start read the same DATABASE_URL, so they must find the same database.
DATABASES["default"]["TEST"] = {"NAME": DATABASES["default"]["NAME"]}
WHITENOISE_AUTOREFRESH = True  # tests run without collectstatic
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 0.5  # seconds
# The workers of the tests are not those of the Procfile.
SILENCED_SYSTEM_CHECKS = [*SILENCED_SYSTEM_CHECKS, "tasks.E001", "tasks.E002"]
# Short, so that a test can wait for a lease to expire and for a retry.
EMAIL_LEASE = timedelta(seconds=1)
EMAIL_RETRY_INITIAL_DELAY = EMAIL_RETRY_MARGIN = TASK_RETRY_MARGIN = timedelta(seconds=0.1)
TASK_RETRY_INITIAL_DELAY = 0.1  # seconds
# % if cookiecutter.use_examples
PAYMENT_GATEWAY_TIMEOUT = (1.0, 1.0)  # seconds
# % endif
HEALTH_CHECK_INTERVAL = None  # the tests of the check set it
BEAT_LEASE = timedelta(seconds=1)
BEAT_FOLLOWER_INTERVAL = 0.1  # seconds
BROKER_CIRCUIT_RESET = timedelta(seconds=0.2)
CELERY_WORKER_BROKER_TIMEOUT = 0.6  # seconds; longer than a request's
