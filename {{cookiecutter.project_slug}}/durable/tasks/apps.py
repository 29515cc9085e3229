from importlib import import_module

from django.apps import AppConfig

from durable.broker.connection import warn_if_kombu_is_untested


class TasksConfig(AppConfig):
    name = "durable.tasks"

    def ready(self) -> None:
        # Shared tasks belong to this Celery app, whoever calls them. Were it imported by the package
        # `config`, it would choose the settings before wsgi.py and asgi.py can.
        import_module("config.celery")
        for module in (
            "health.receivers",
            "tasks.checks",
            "tasks.failures",
        ):
            import_module(f"durable.{module}")
        warn_if_kombu_is_untested()
