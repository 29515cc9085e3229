"""The Celery app: `celery -A config worker`, `celery -A config beat`."""

import os
from typing import Any

from celery import Celery
from celery.signals import celeryd_init, setup_logging
from django_structlog.celery.steps import DjangoStructLogInitStep

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")

app = Celery("config", task_cls="apps.tasks.base:Task")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.steps["worker"].add(DjangoStructLogInitStep)
app.autodiscover_tasks()


@celeryd_init.connect
def be_patient_with_the_broker(conf: Any, **_: object) -> None:
    """Let a worker wait longer than a request may: it has nothing else to do."""
    conf.broker_transport_options |= {
        "socket_timeout": conf.worker_broker_timeout,
        "health_check_interval": conf.worker_broker_timeout,
    }


@setup_logging.connect
def keep_djangos_logging(**_: object) -> None:
    """Stop Celery from replacing the log handlers: the receiver's presence is enough."""
