from importlib import import_module

from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    name = "durable.console"

    def ready(self) -> None:
        import_module("durable.console.metrics.access")  # its system check
