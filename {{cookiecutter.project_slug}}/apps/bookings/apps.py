from django.apps import AppConfig


class BookingsConfig(AppConfig):
    name = "apps.bookings"
    verbose_name = "Bookings"
    home = "bookings:list"
    summary = "Slots that nobody books twice: page, admin, command and task share one signal."

    def ready(self) -> None:
        from apps.bookings import effects  # noqa: F401, PLC0415 - models have to be loaded
