from importlib import import_module

from django.apps import AppConfig


class MailConfig(AppConfig):
    name = "durable.mail"

    def ready(self) -> None:
        for module in ("checks", "provider_events"):  # they need the models
            import_module(f"durable.mail.{module}")
