"""What follows a booking. All of it is rows in the transaction that saves the booking.

A page, the admin, a command and a task only save one; the signal does the rest for each of them.
What saves no model, such as `bulk_create` and `update`, sends no signal either.
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


@receiver(post_save, sender=Booking, dispatch_uid="bookings.follow")
def follow(instance: Booking, *, created: bool, raw: bool, **_: Any) -> None:
    """Confirm a new booking to its customer, and tell the owner of the calendar.

    What `loaddata` brings in (`raw`) was told when it was booked.
    """
    if created and not raw:
        mail_customer_and_owner(instance, "confirmation", "notice")
        tell_owner(instance, "Booked")
        page = reverse("admin:bookings_booking_change", args=[instance.pk])
        announce_to_staff(f"A new booking: {instance.slot}", page)


def follow_cancellation(booking: Booking) -> None:
    """Tell customer and owner that a booking is canceled."""
    mail_customer_and_owner(booking, "canceled", "canceled")
    tell_owner(booking, "Canceled")


def mail_customer_and_owner(booking: Booking, to_customer: str, to_owner: str) -> None:
    """Queue one mail for each; the keys make a second call harmless."""
    people = (
        ("customer", booking.user, to_customer),
        ("owner", booking.slot.calendar.owner, to_owner),
    )
    for role, user, template in people:
        send_email(
            f"booking_{template}",
            user.email,
            facts(booking),
            key=f"booking-{booking.pk}-{template}-{role}",
            related=booking,
        )


def mail_reminders(bookings: Sequence[Booking]) -> None:
    """Queue a reminder of each booking; an address that no mail reaches holds up none of the others."""
    messages = []
    for booking in bookings:
        try:
            to = validate_address("to", booking.user.email)
        except ValueError as error:
            logger.warning("booking_not_reminded", booking=str(booking.pk), error=str(error))
        else:
            messages.append((to, facts(booking), f"booking-{booking.pk}-reminder"))
    send_emails("booking_reminder", messages)


def tell_owner(booking: Booking, what: str) -> None:
    """Ring the bell of the owner."""
    notify(
        booking.slot.calendar.owner,
        "booking",
        f"{what}: {booking.slot}",
        f"By {booking.user}. {booking.note}".strip(),
        url=booking.get_absolute_url(),
    )


def facts(booking: Booking) -> dict[str, str]:
    """Return what the mails say about a booking."""
    return {
        "calendar": booking.slot.calendar.name,
        "when": booking.slot.when,
        "customer": booking.user.email,
        "note": booking.note,
        "path": booking.get_absolute_url(),
    }
