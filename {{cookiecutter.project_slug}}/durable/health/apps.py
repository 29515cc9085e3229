from importlib import import_module

from django.apps import AppConfig


class HealthConfig(AppConfig):
    name = "durable.health"

    def ready(self) -> None:
        import_module("durable.health.checks")
