"""Delivers one mail: claim the row, hand the message to the provider, write down what came of it."""

from functools import partial

import structlog
from django.db import transaction

from durable.conf import conf
from durable.db import FromNow, retry_until_written
from durable.mail import connection, rendering, retry_policy
from durable.mail.models import Email, EmailEvent, Suppression
from durable.text import describe_error

logger = structlog.get_logger(__name__)
Kind = EmailEvent.Kind


class Deferred(Exception):  # noqa: N818 - no error: the row waits for its next attempt
    """The attempt failed for now; `seconds` later there is another."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"next attempt in {seconds:.0f} s")
        self.seconds = seconds


class AttemptsUsedUp(Exception):  # noqa: N818 - named after what happened
    """The last attempt that EMAIL_MAX_ATTEMPTS allows has failed."""


def deliver(email_id: str) -> None:
    """Deliver the mail, unless it is not due or somebody else is at it.

    Raises:
        Deferred: temporary error; the row is queued again.
        AttemptsUsedUp: temporary error, and no attempt is left; the row is failed.
    """
    email = Email.objects.claim(email_id, conf.EMAIL_LEASE)
    if email is None:
        logger.info("email_not_claimed", email_id=email_id)
        return
    structlog.contextvars.bind_contextvars(email_id=email_id, correlation_id=email.correlation_id)
    note_lost_attempt(email)
    if email.is_poison:
        give_up(email, f"{email.crashes} workers in a row have died with this mail.")
    if email.attempts > conf.EMAIL_MAX_ATTEMPTS:
        give_up(email, email.last_error or "Every worker that tried was lost.")
    if Suppression.objects.filter(address=email.address).exists():
        finish(email, Email.Status.SUPPRESSED, Kind.SUPPRESSED, "The address is suppressed.")
        return
    try:
        message_id = connection.send(rendering.build(email))
    except Exception as error:  # noqa: BLE001 - whatever went wrong, the row has to say so
        handle_error(email, error)
    else:
        finish(email, Email.Status.SENT, Kind.SENT, message_id=message_id, sent_at=FromNow())


def handle_error(email: Email, error: Exception) -> None:
    """Queue the mail again or fail it, as the error asks for."""
    reason = describe_error(error)
    if not retry_policy.is_temporary(error):
        finish(email, Email.Status.FAILED, Kind.FAILED, reason)
        return
    if email.attempts >= conf.EMAIL_MAX_ATTEMPTS:
        give_up(email, reason)
    delay = retry_policy.delay_after(email.attempts)
    finish(email, Email.Status.QUEUED, Kind.DEFERRED, reason, next_attempt_at=FromNow(delay))
    raise Deferred(delay.total_seconds())


def give_up(email: Email, reason: str) -> None:
    """Fail the mail after its last attempt, and raise AttemptsUsedUp."""
    finish(email, Email.Status.FAILED, Kind.FAILED, reason)
    raise AttemptsUsedUp(f"{email.attempts} attempts to deliver {email.pk} failed: {reason}")


def finish(
    email: Email, status: Email.Status, kind: EmailEvent.Kind, detail: str = "", **values: object
) -> None:
    """Write the outcome of the attempt into the row, and leave an event.

    A worker whose lease has run out writes the event only: the row is another's by now.
    """
    retry_until_written(partial(write, email, status, kind, detail, **values), conf.EMAIL_LEASE)
    logger.info("email_attempt_ended", status=status, attempt=email.attempts, detail=detail)


def write(
    email: Email, status: Email.Status, kind: EmailEvent.Kind, detail: str, **values: object
) -> None:
    """Write the outcome and the event in one transaction."""
    with transaction.atomic():
        if not email.finish(status=status, last_error=detail, **values):
            detail = f"{detail} The lease had run out: another worker may have sent it too.".strip()
            logger.warning("email_lease_lost", email_id=str(email.pk), outcome=status)
        email.events.create(kind=kind, attempt=email.attempts, detail=detail)


def note_lost_attempt(email: Email) -> None:
    """Leave an event of the attempt before, if its worker died without one."""
    before = email.attempts - 1
    if before and not email.events.filter(attempt=before).exists():
        detail = "The worker ended before it could tell the outcome."
        email.events.create(kind=Kind.LOST, attempt=before, detail=detail)
