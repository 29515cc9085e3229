"""Durable: a booking that comes in by machine, since nobody would send it a second time.

Plain: the reminders. Each is a mail's row, and a run that is lost loses none: the next one finds
what was left, since each looks ahead as far as the end of the next day.
"""

import uuid

import structlog
from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded

from apps.bookings import services
from durable.api import DurableTask, Task, close_connections, row_id

logger = structlog.get_logger(__name__)

REMINDED_AT_ONCE = 200  # bookings; one short transaction each


@shared_task(base=DurableTask, name="bookings.book", bind=True)
def book(self: Task, calendar: str, start: str, email: str, note: str = "") -> str:
    """Book a slot by name: see `services.book_by_name`; return the id of the booking.

    The task's own id is the booking's, so that a second run books nothing. One that cannot be
    booked is a failed task, since nobody else would know.
    """
    booking_id = row_id(self.request.id) if self.request.id else uuid.uuid4()
    booking = services.book_by_name(calendar, start, email, note, booking_id=booking_id)
    return str(booking.pk)


@shared_task(base=Task, name="bookings.send_reminders")
def send_reminders() -> int:
    """Remind of what begins today or tomorrow, each booking once; return how many that were."""
    reminded = 0
    try:
        while count := services.remind(REMINDED_AT_ONCE):
            reminded += count
    except SoftTimeLimitExceeded:
        logger.info("booking_reminders_cut_short", reminded=reminded)
        close_connections()  # it may have come in the middle of a statement
        send_reminders.publish_or_log()
    return reminded
