"""What pages, the command and the tasks call. The effects of a booking are not their business."""

import uuid
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from apps.bookings.effects import follow_cancellation, mail_reminders
from apps.bookings.models import BEGUN, TAKEN, Booking, Slot, end_of_tomorrow
from apps.users.models import User


class NotBookableError(ValueError):
    """A slot cannot be booked; the text says why, to whoever wants it."""


def book(slot: Slot, user: User, note: str = "", *, booking_id: uuid.UUID | None = None) -> Booking:
    """Book a slot for a user; of several who do so at once, the database lets one through.

    Args:
        slot: what is booked.
        user: who comes.
        note: what the owner should know.
        booking_id: your own id for the booking. A second call with the same id returns the same
            booking, even if that is canceled by now.

    Returns:
        the booking; the one that is there, if the user has booked this slot already.

    Raises:
        NotBookableError: somebody else has it, or it has begun.
    """
    booking_id = booking_id or uuid.uuid4()
    if known := Booking.objects.filter(pk=booking_id, user=user).first():
        return known
    if slot.has_begun:
        raise NotBookableError(BEGUN)
    booking = Booking(id=booking_id, slot=slot, user=user, note=note)
    try:
        with transaction.atomic():
            booking.save(force_insert=True)
    except IntegrityError:
        theirs = slot.bookings.filter(canceled_at=None).first()
        if theirs is None:
            raise
        if theirs.user_id != user.pk:
            raise NotBookableError(TAKEN) from None
        return theirs
    return booking


def book_by_name(
    calendar: str, start: str, email: str, note: str = "", *, booking_id: uuid.UUID | None = None
) -> Booking:
    """Book as `book` does, where all is given by its name.

    Args:
        calendar: its name.
        start: of the slot, such as `2027-01-31T09:00`; in the service's time zone if it names none.
        email: of the user.
        note, booking_id: as for `book`.

    Raises:
        NotBookableError: as `book`, or there is no such slot or user.
    """
    starts_at = moment(start)
    slot = Slot.objects.filter(calendar__name=calendar, starts_at=starts_at).first()
    if slot is None:
        raise NotBookableError(f"{calendar!r} has no slot that starts at {start}")
    user = User.objects.with_email(email).filter(is_active=True).first()
    if user is None:
        raise NotBookableError(f"no active user has the address {email!r}")
    return book(slot, user, note, booking_id=booking_id)


def moment(text: str) -> datetime:
    """Return a date and time, in the service's time zone if it names none.

    Raises:
        NotBookableError: it is neither.
    """
    try:
        parsed = parse_datetime(text)
    except ValueError:
        parsed = None
    if parsed is None:
        raise NotBookableError(f"{text!r} is not a date and time such as 2027-01-31T09:00")
    return timezone.make_aware(parsed) if timezone.is_naive(parsed) else parsed


def cancel(booking: Booking) -> bool:
    """Free the slot of a booking and tell both; return whether that came in time.

    Who comes second, or after the slot has begun, changes nothing.
    """
    with transaction.atomic():
        # Without a join: with one, all conditions go into a subquery, and who has waited for another
        # one's UPDATE finds them as they were before it.
        to_come = Slot.objects.filter(starts_at__gt=Now())
        found = Booking.objects.filter(pk=booking.pk, canceled_at=None, slot__in=to_come)
        if not found.update(canceled_at=Now()):
            return False
        follow_cancellation(booking)
    return True


def remind(most: int) -> int:
    """Remind of up to `most` bookings that begin before the end of tomorrow; return how many.

    That they were is noted in the transaction that queues the mails. Two of these at once wait for
    each other, and the second one then finds the rows of the first one done.
    """
    with transaction.atomic():
        due = Booking.objects.due(end_of_tomorrow()).select_for_update(of=("self",))
        bookings = list(
            due.select_related("user", "slot__calendar").order_by("slot__starts_at", "pk")[:most]
        )
        pks = [booking.pk for booking in bookings]
        Booking.objects.filter(pk__in=pks, reminded_at=None).update(reminded_at=Now())
        mail_reminders(bookings)
    return len(bookings)
