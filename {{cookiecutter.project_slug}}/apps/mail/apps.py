from django.apps import AppConfig


class MailConfig(AppConfig):
    name = "apps.mail"

    def ready(self) -> None:
        from apps.mail import tracking  # noqa: F401, PLC0415 - models have to be loaded
