"""Functions for pages, command and tasks. The emails of bookings are sent by receivers.py."""

import uuid
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from apps.bookings.models import SLOT_STARTED, SLOT_TAKEN, Booking, Slot, end_of_tomorrow
from apps.bookings.receivers import email_reminders, report_cancellation
from apps.users.models import User


class NotBookableError(ValueError):
    """A slot cannot be booked. The text gives the reason, for users."""


def book(slot: Slot, user: User, note: str = "", *, booking_id: uuid.UUID | None = None) -> Booking:
    """Book a slot. The database lets only one of several simultaneous calls succeed.

    Args:
        slot: the slot.
        user: the customer.
        note: a text for the owner of the calendar.
        booking_id: your own id for the booking. A second call with the same id returns the same
            booking, even if it was canceled in between.

    Returns:
        the new booking, or the existing one if the user has already booked this slot.

    Raises:
        NotBookableError: another user has booked it, or it has started.
    """
    booking_id = booking_id or uuid.uuid4()
    if known := Booking.objects.filter(pk=booking_id, user=user).first():
        return known
    if slot.has_started:
        raise NotBookableError(SLOT_STARTED)
    booking = Booking(id=booking_id, slot=slot, user=user, note=note)
    try:
        with transaction.atomic():
            booking.save(force_insert=True)
    except IntegrityError:
        existing = slot.bookings.filter(canceled_at=None).first()
        if existing is None:
            raise
        if existing.user_id != user.pk:
            raise NotBookableError(SLOT_TAKEN) from None
        return existing
    return booking


def book_by_name(
    calendar: str, start: str, email: str, note: str = "", *, booking_id: uuid.UUID | None = None
) -> Booking:
    """Book a slot that is given by names; see `book`.

    Args:
        calendar: its name.
        start: of the slot, such as `2027-01-31T09:00`, by default in the service's time zone.
        email: of the user.
        note, booking_id: as for `book`.

    Raises:
        NotBookableError: as `book`, or there is no such slot or user.
    """
    starts_at = parse_start(start)
    slot = Slot.objects.filter(calendar__name=calendar, starts_at=starts_at).first()
    if slot is None:
        raise NotBookableError(f"{calendar!r} has no slot that starts at {start}")
    user = User.objects.with_email(email).filter(is_active=True).first()
    if user is None:
        raise NotBookableError(f"no active user has the address {email!r}")
    return book(slot, user, note, booking_id=booking_id)


def parse_start(text: str) -> datetime:
    """Parse a date and time, by default in the service's time zone.

    Raises:
        NotBookableError: the text is no date and time.
    """
    try:
        parsed = parse_datetime(text)
    except ValueError:
        parsed = None
    if parsed is None:
        raise NotBookableError(f"{text!r} is not a date and time such as 2027-01-31T09:00")
    return timezone.make_aware(parsed) if timezone.is_naive(parsed) else parsed


def cancel(booking: Booking) -> bool:
    """Cancel a booking and report it to both; return False if it is already canceled or started."""
    with transaction.atomic():
        # Without a join: with one, all conditions move into a subquery, and an UPDATE that has
        # waited for another one sees their values from before it.
        upcoming = Slot.objects.filter(starts_at__gt=Now())
        found = Booking.objects.filter(pk=booking.pk, canceled_at=None, slot__in=upcoming)
        if not found.update(canceled_at=Now()):
            return False
        report_cancellation(booking)
    return True


def remind(limit: int) -> int:
    """Queue reminders for at most `limit` bookings until the end of tomorrow; return how many.

    The same transaction marks them as reminded. Of two simultaneous calls, the second one waits for
    the rows of the first one and skips them.
    """
    with transaction.atomic():
        due = Booking.objects.due(end_of_tomorrow()).select_for_update(of=("self",))
        bookings = list(
            due.select_related("user", "slot__calendar").order_by("slot__starts_at", "pk")[:limit]
        )
        pks = [booking.pk for booking in bookings]
        Booking.objects.filter(pk__in=pks, reminded_at=None).update(reminded_at=Now())
        email_reminders(bookings)
    return len(bookings)
