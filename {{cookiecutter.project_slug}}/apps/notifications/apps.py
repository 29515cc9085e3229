from django.apps import AppConfig


class NotificationsConfig(AppConfig):
    name = "apps.notifications"
    home = "notifications:list"
    summary = (
        "What happened while you were away, with a bell on every page that counts what is new."
    )
