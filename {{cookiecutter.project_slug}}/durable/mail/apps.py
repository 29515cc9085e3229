from django.apps import AppConfig


class MailConfig(AppConfig):
    name = "durable.mail"

    def ready(self) -> None:
        from durable.mail import provider_events  # noqa: F401, PLC0415 - models have to be loaded
