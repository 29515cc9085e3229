"""Emails and notifications of bookings: rows in the transaction that saves the booking.

Pages, admin, command and task only save a booking; the receiver does the rest. Queries that save no
model instance, such as `bulk_create` and `update`, send no signal.
"""

from collections.abc import Sequence
from typing import Any

import structlog
from django.db.models.signals import post_save
from django.dispatch import receiver
from django.urls import reverse

from apps.bookings.models import Booking
from apps.notifications.services import announce_to_staff, notify
from durable.api import send_email, send_emails, validate_address

logger = structlog.get_logger(__name__)


@receiver(post_save, sender=Booking, dispatch_uid="bookings.report_new_booking")
def report_new_booking(instance: Booking, *, created: bool, raw: bool, **_: Any) -> None:
    """Report a new booking to its customer, the owner of the calendar and the staff.

    Bookings from `loaddata` (`raw`) were reported when they were made.
    """
    if created and not raw:
        email_customer_and_owner(instance, "confirmation", "notice")
        notify_owner(instance, "Booked")
        page = reverse("admin:bookings_booking_change", args=[instance.pk])
        announce_to_staff(f"A new booking: {instance.slot}", page)


def report_cancellation(booking: Booking) -> None:
    """Report a canceled booking to its customer and to the owner of the calendar."""
    email_customer_and_owner(booking, "canceled", "canceled")
    notify_owner(booking, "Canceled")


def email_customer_and_owner(booking: Booking, to_customer: str, to_owner: str) -> None:
    """Queue an email to each, by template. Their keys make a second call harmless."""
    recipients = (
        ("customer", booking.user, to_customer),
        ("owner", booking.slot.calendar.owner, to_owner),
    )
    for role, user, template in recipients:
        send_email(
            f"booking_{template}",
            user.email,
            email_context(booking),
            key=f"booking-{booking.pk}-{template}-{role}",
            related=booking,
        )


def email_reminders(bookings: Sequence[Booking]) -> None:
    """Queue a reminder for each booking; an invalid address does not stop the others."""
    messages = []
    for booking in bookings:
        try:
            to = validate_address("to", booking.user.email)
        except ValueError as error:
            logger.warning("booking_reminder_skipped", booking=str(booking.pk), error=str(error))
        else:
            messages.append((to, email_context(booking), f"booking-{booking.pk}-reminder"))
    send_emails("booking_reminder", messages)


def notify_owner(booking: Booking, event: str) -> None:
    notify(
        booking.slot.calendar.owner,
        "booking",
        f"{event}: {booking.slot}",
        f"By {booking.user}. {booking.note}".strip(),
        url=booking.get_absolute_url(),
    )


def email_context(booking: Booking) -> dict[str, str]:
    return {
        "calendar": booking.slot.calendar.name,
        "when": booking.slot.when,
        "customer": booking.user.email,
        "note": booking.note,
        "path": booking.get_absolute_url(),
    }
