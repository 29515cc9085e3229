"""Sends one mail the way the service does, and waits for what comes of it."""

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from durable.mail.api import send_email
from durable.mail.models import Email

POLL_EVERY = 0.05  # seconds
STILL_WAITING = (
    "{to}: still {status} after {seconds:g} s: no worker took it. Start one with `make celery`, "
    "or look at the broker."
)
PUT_OFF = "{to}: put off after {took:.2f} s, it is tried again by itself: {error}"


class Command(BaseCommand):
    """`manage.py send_test_email ADDRESS`: exits with 0 once the provider has accepted the mail."""

    help = "Send a test mail through the queue and a worker, and report what came of it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the address, and how long to wait."""
        parser.add_argument("address")
        parser.add_argument("--wait", type=float, default=30, metavar="SECONDS")

    def handle(self, *, address: str, wait: float, **_: Any) -> None:
        """Queue the mail, then look at its row until it has left the queue."""
        started = time.monotonic()
        try:
            email = send_email("test_email", address, {"queued_by": "manage.py send_test_email"})
        except ValueError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{address}: queued as {email.pk}")
        while email.status in Email.UNDER_WAY and not email.last_error:
            if time.monotonic() - started > wait:
                raise CommandError(
                    STILL_WAITING.format(to=address, status=email.status, seconds=wait)
                )
            time.sleep(POLL_EVERY)
            email.refresh_from_db()
        took = time.monotonic() - started
        if email.status in Email.UNDER_WAY:
            raise CommandError(PUT_OFF.format(to=address, took=took, error=email.last_error))
        if email.status not in (Email.Status.SENT, Email.Status.DELIVERED):
            raise CommandError(f"{address}: {email.status} after {took:.2f} s: {email.last_error}")
        self.stdout.write(
            self.style.SUCCESS(
                f"{address}: {email.status} after {took:.2f} s as {email.message_id}"
            )
        )
