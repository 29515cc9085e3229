from django.apps import AppConfig


class TasksConfig(AppConfig):
    name = "apps.tasks"

    def ready(self) -> None:
        from apps.tasks import broker, checks, dead_letters  # noqa: F401, PLC0415 - models have to be loaded
