"""`book` is durable: the system that publishes it does not repeat it.

`send_reminders` is plain: each run looks ahead to the end of tomorrow, so it includes the bookings
of a lost run. Each reminder is a row of the engine.
"""

import uuid

import structlog
from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded

from apps.bookings import services
from durable.api import DurableTask, Task, close_connections, row_id

logger = structlog.get_logger(__name__)

REMINDER_BATCH = 200  # bookings in one short transaction


@shared_task(base=DurableTask, name="bookings.book", bind=True)
def book(self: Task, calendar: str, start: str, email: str, note: str = "") -> str:
    """Book a slot by name, see `services.book_by_name`; return the id of the booking.

    The booking gets the id of the task, so a second run books nothing. If the slot cannot be booked,
    the task fails, so that staff see it.
    """
    booking_id = row_id(self.request.id) if self.request.id else uuid.uuid4()
    booking = services.book_by_name(calendar, start, email, note, booking_id=booking_id)
    return str(booking.pk)


@shared_task(base=Task, name="bookings.send_reminders")
def send_reminders() -> int:
    """Queue reminders for bookings of today and tomorrow, one for each; return how many."""
    reminded = 0
    try:
        while count := services.remind(REMINDER_BATCH):
            reminded += count
    except SoftTimeLimitExceeded:
        logger.info("booking_reminders_continued", reminded=reminded)
        close_connections()  # the limit may have interrupted a statement
        send_reminders.publish_or_log()
    return reminded
