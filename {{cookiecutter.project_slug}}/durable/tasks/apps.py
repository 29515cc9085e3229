from importlib import import_module

from django.apps import AppConfig

from durable import tracing
from durable.broker.connection import warn_if_kombu_is_untested


class TasksConfig(AppConfig):
    name = "durable.tasks"

    def ready(self) -> None:
        # Shared tasks belong to this Celery app, whichever process calls them. If the package `config`
        # imported it, it would choose the settings before wsgi.py and asgi.py can.
        import_module("config.celery")
        for module in ("broker.checks", "tasks.checks", "tasks.outcomes"):
            import_module(f"durable.{module}")
        warn_if_kombu_is_untested()
        tracing.set_up()
