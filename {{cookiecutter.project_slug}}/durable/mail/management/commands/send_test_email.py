"""Sends one mail the way the service does, and waits for the outcome."""

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from durable.mail.api import send_email
from durable.mail.models import Email

POLL_INTERVAL = 0.05  # seconds
NOT_FINISHED = (
    "{to}: still {status} after {seconds:g} s. Start a worker with `make celery`, and check that the "
    "broker runs."
)
RETRYING = "{to}: the first attempt failed after {took:.2f} s, a worker will retry: {error}"


class Command(BaseCommand):
    """`manage.py send_test_email ADDRESS`: exits with 0 once the provider has accepted the mail."""

    help = "Send a test mail through the queue and a worker, and report the outcome."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the address, and how long to wait."""
        parser.add_argument("address")
        parser.add_argument("--wait", type=float, default=30, metavar="SECONDS")

    def handle(self, *, address: str, wait: float, **_: Any) -> None:
        """Queue the mail, then poll its row until the first attempt has an outcome."""
        started = time.monotonic()
        try:
            email = send_email("test_email", address, {"queued_by": "manage.py send_test_email"})
        except ValueError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{address}: queued as {email.pk}")
        while email.status in Email.UNFINISHED and not email.last_error:
            if time.monotonic() - started > wait:
                raise CommandError(
                    NOT_FINISHED.format(to=address, status=email.status, seconds=wait)
                )
            time.sleep(POLL_INTERVAL)
            email.refresh_from_db()
        took = time.monotonic() - started
        if email.status in Email.UNFINISHED:
            raise CommandError(RETRYING.format(to=address, took=took, error=email.last_error))
        if email.status not in (Email.Status.SENT, Email.Status.DELIVERED):
            raise CommandError(f"{address}: {email.status} after {took:.2f} s: {email.last_error}")
        self.stdout.write(
            self.style.SUCCESS(
                f"{address}: {email.status} after {took:.2f} s as {email.message_id}"
            )
        )
