from django.apps import AppConfig


class NotificationsConfig(AppConfig):
    name = "apps.notifications"
    home = "notifications:list"
    summary = (
        "Everything you missed while you were away, with a count of unread ones on every page."
    )

    def ready(self) -> None:
        from apps.notifications import receivers  # noqa: F401, PLC0415 - needs loaded models
