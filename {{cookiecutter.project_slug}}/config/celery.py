"""The Celery app: `celery -A config worker`, `celery -A config beat`."""

import os

from celery import Celery
from django_structlog.celery.steps import DjangoStructLogInitStep

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")

app = Celery(
    "config",
    task_cls="durable.tasks.base:Task",
    amqp="durable.broker.connection:AMQP",
    control="durable.broker.connection:Control",
)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.steps["worker"].add(DjangoStructLogInitStep)
app.autodiscover_tasks()
