"""Books a slot for a user."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.bookings.services import NotBookableError, book_by_name


class Command(BaseCommand):
    """`manage.py book CALENDAR START EMAIL`: a second call prints the same booking."""

    help = "Book a slot for a user."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the slot and the user."""
        parser.add_argument("calendar", help="name of the calendar")
        parser.add_argument("start", help="start of the slot, such as 2027-01-31T09:00")
        parser.add_argument("email", help="address of the user")
        parser.add_argument("--note", default="", help="a note for the owner of the calendar")

    def handle(self, *, calendar: str, start: str, email: str, note: str, **_: Any) -> None:
        """Book, and print the booking."""
        try:
            booking = book_by_name(calendar, start, email, note)
        except NotBookableError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(self.style.SUCCESS(f"Booked {booking}: {booking.pk}"))
