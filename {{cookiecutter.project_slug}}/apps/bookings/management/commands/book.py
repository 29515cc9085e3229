"""Books a slot for a user, as a page would."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.bookings.services import NotBookableError, book_by_name


class Command(BaseCommand):
    """`manage.py book CALENDAR START EMAIL`: a second time says the same and books nothing."""

    help = "Book a slot for a user."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take what, when, and for whom."""
        parser.add_argument("calendar", help="name of the calendar")
        parser.add_argument("start", help="start of the slot, such as 2027-01-31T09:00")
        parser.add_argument("email", help="address of the user")
        parser.add_argument("--note", default="", help="what the owner should know")

    def handle(self, *, calendar: str, start: str, email: str, note: str, **_: Any) -> None:
        """Book, and print what was booked."""
        try:
            booking = book_by_name(calendar, start, email, note)
        except NotBookableError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(self.style.SUCCESS(f"{booking}: booked as {booking.pk}"))
