"""Delivers one mail: claims its row, hands the message to the provider, and writes the outcome."""

from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import structlog
from django.db.models.functions import Now

from durable import tracing
from durable.conf import conf
from durable.db import retry_until_written
from durable.mail import connection, rendering, retry_policy
from durable.mail.models import Email
from durable.text import describe_error

logger = structlog.get_logger(__name__)


class AttemptsExhaustedError(Exception):
    """The last attempt that EMAIL_MAX_ATTEMPTS allows has failed, or too many workers have crashed."""


@dataclass(frozen=True)
class Sent:
    """The provider has accepted the mail."""

    message_id: str


@dataclass(frozen=True)
class Suppressed:
    """The address has been suppressed since the mail was queued."""


@dataclass(frozen=True)
class Retrying:
    """A temporary error: another attempt follows."""

    reason: str
    delay: timedelta


@dataclass(frozen=True)
class Failed:
    """A permanent error of the mail."""

    reason: str


@dataclass(frozen=True)
class Exhausted:
    """No attempt is left, although the mail may be in order."""

    reason: str


Outcome = Sent | Suppressed | Retrying | Failed | Exhausted


def deliver(email_id: str) -> timedelta | None:
    """Deliver a mail, unless it is not due or another worker holds it.

    Returns:
        the delay until the next attempt, after a temporary error; else None.

    Raises:
        AttemptsExhaustedError: no attempt is left; the mail has failed.
    """
    email = Email.objects.claim(email_id, conf.EMAIL_LEASE, provider=connection.provider())
    if email is None:
        logger.info("email_not_claimed", email_id=email_id)
        return None
    structlog.contextvars.bind_contextvars(email_id=email_id)
    if email.correlation_id:
        structlog.contextvars.bind_contextvars(correlation_id=email.correlation_id)
    if email.crashes:
        email.record_crash()
    about = {"email.template": email.template, "email.attempt": email.attempts}
    with tracing.span("deliver mail", email.traceparent, about) as note:
        outcome = attempt(email)
        note("email.outcome", type(outcome).__name__.lower())
    held = retry_until_written(partial(write, email, outcome), conf.EMAIL_LEASE)
    log_outcome(email, outcome, held=held)
    if isinstance(outcome, Exhausted):
        raise AttemptsExhaustedError(
            f"{email.attempts} attempts to deliver {email.pk} failed: {outcome.reason}"
        )
    return outcome.delay if isinstance(outcome, Retrying) else None


def end_timed_out_attempt(email_id: str, error: Exception) -> None:
    """Write the outcome of an attempt whose process was killed at the hard limit: it is no crash.

    Runs in the worker's main process, while the lease is still held.
    """
    held = {"status": Email.Status.SENDING, "lease_until__gt": Now()}
    email = Email.objects.filter(pk=email_id, **held).first()
    if email is not None:
        outcome = outcome_of(error, email.attempts)
        log_outcome(email, outcome, held=write(email, outcome))


def attempt(email: Email) -> Outcome:
    """Hand the mail to the provider, unless there is a reason not to."""
    if email.is_poison:
        return Exhausted(f"{email.crashes} workers in a row have died with this mail.")
    if email.attempts > conf.EMAIL_MAX_ATTEMPTS:
        return Exhausted(email.last_error or "Every worker that tried has died.")
    if email.is_suppressed:
        return Suppressed()
    try:
        return Sent(connection.send(rendering.build(email)))
    except Exception as error:  # noqa: BLE001 - the row gets every error
        return outcome_of(error, email.attempts)


def outcome_of(error: Exception, attempts: int) -> Retrying | Failed | Exhausted:
    """Return what follows from the error of the last of some attempts."""
    reason = describe_error(error)
    if not retry_policy.is_temporary(error):
        return Failed(reason)
    if attempts >= conf.EMAIL_MAX_ATTEMPTS:
        return Exhausted(reason)
    return Retrying(reason, retry_policy.delay_after(attempts))


def write(email: Email, outcome: Outcome) -> bool:
    """Write the outcome; return False if the lease has ended and another worker has claimed the mail."""
    match outcome:
        case Sent(message_id):
            return email.mark_sent(message_id)
        case Suppressed():
            return email.mark_suppressed()
        case Retrying(reason, delay):
            return email.mark_retrying(reason, delay)
        case Failed(reason) | Exhausted(reason):
            return email.mark_failed(reason)


def log_outcome(email: Email, outcome: Outcome, *, held: bool) -> None:
    """Log the outcome, and whether the lease was held until it was written."""
    name, detail = type(outcome).__name__.lower(), getattr(outcome, "reason", "")
    logger.info("email_attempt_ended", outcome=name, attempt=email.attempts, detail=detail)
    if not held:
        logger.warning("email_lease_lost", outcome=name)
