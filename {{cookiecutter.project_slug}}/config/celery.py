"""The Celery app: `celery -A config worker`, `celery -A config beat`."""

import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging, task_prerun
from django.db import close_old_connections
from django_structlog.celery.steps import DjangoStructLogInitStep

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")

app = Celery("config", task_cls="durable.tasks.base:Task", amqp="durable.broker.connection:AMQP")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.steps["worker"].add(DjangoStructLogInitStep)
app.autodiscover_tasks()


@task_prerun.connect
def close_unusable_connections(sender: Any, **_: object) -> None:
    """Close a database connection that is broken or older than CONN_MAX_AGE, as Django does before a request.

    By default Celery opens a new one for each task; see CELERY_DB_REUSE_MAX in the settings.
    """
    if not sender.request.is_eager:
        close_old_connections()


@setup_logging.connect
def keep_djangos_logging(**_: object) -> None:
    """Keep Celery from replacing the log handlers: a connected receiver is enough."""
