"""Delivers one mail: claims its row, hands the message to the provider, and writes the outcome."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import structlog

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


def deliver(email_id: str) -> timedelta | None:
    """Deliver a mail, unless it is not due or another worker holds it.

    Returns:
        the delay until the next attempt, after a temporary error; else None.

    Raises:
        AttemptsExhaustedError: no attempt is left; the mail has failed.
    """
    email = Email.objects.claim(email_id, conf.EMAIL_LEASE)
    if email is None:
        logger.info("email_not_claimed", email_id=email_id)
        return None
    structlog.contextvars.bind_contextvars(email_id=email_id, correlation_id=email.correlation_id)
    if email.crashes:
        email.record_crash()
    outcome = attempt(email)
    reason = getattr(outcome, "reason", "")
    name = type(outcome).__name__.lower()
    logger.info("email_attempt_ended", outcome=name, attempt=email.attempts, detail=reason)
    match outcome:
        case Sent(message_id):
            write(email.mark_sent, message_id)
        case Suppressed():
            write(email.mark_suppressed)
        case Failed():
            write(email.mark_failed, reason)
        case Retrying(_, delay):
            write(email.mark_retrying, reason, delay)
            return delay
        case Exhausted():
            write(email.mark_failed, reason)
            raise AttemptsExhaustedError(
                f"{email.attempts} attempts to deliver {email.pk} failed: {reason}"
            )
    return None


def attempt(email: Email) -> Sent | Suppressed | Retrying | Failed | Exhausted:
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


def write(mark: Callable[..., bool], *values: object) -> None:
    """Write the outcome of a claimed mail, as soon as the database lets it."""
    if not retry_until_written(partial(mark, *values), conf.EMAIL_LEASE):
        logger.warning("email_lease_lost", outcome=mark.__name__)
