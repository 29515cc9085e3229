from importlib import import_module

from django.apps import AppConfig


class TasksConfig(AppConfig):
    name = "apps.tasks"

    def ready(self) -> None:
        # Shared tasks belong to this Celery app, whoever calls them. Were it imported by the package
        # `config`, it would choose the settings before wsgi.py and asgi.py can.
        import_module("config.celery")
        from apps.tasks import broker, checks, dead_letters, liveness, taking  # noqa: F401, PLC0415 - models have to be loaded
