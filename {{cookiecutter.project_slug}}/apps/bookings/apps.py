from django.apps import AppConfig


class BookingsConfig(AppConfig):
    name = "apps.bookings"
    verbose_name = "Bookings"
    home = "bookings:list"
    summary = "Slots that cannot be booked twice. Page, admin, command and task send equal mails."

    def ready(self) -> None:
        from apps.bookings import receivers  # noqa: F401, PLC0415 - needs loaded models
