"""Which errors pass by themselves, and how long to wait for that."""

import random
import smtplib
from datetime import timedelta

from anymail.exceptions import AnymailAPIError, AnymailConfigurationError
from celery.exceptions import SoftTimeLimitExceeded
from celery.utils.time import get_exponential_backoff_interval
from django.db import InterfaceError, OperationalError
from django.template import TemplateDoesNotExist

from durable.conf import conf

PERMANENT = 500  # SMTP replies from here on
SERVER_ERROR = 500  # HTTP answers from here on
# Of the service's own key, not of the mail: it waits until that is mended. The others pass, such as
# MailerSend's 421 during its maintenance.
UNAUTHORIZED, REQUEST_TIMEOUT, MISDIRECTED_REQUEST, TOO_MANY_REQUESTS = 401, 408, 421, 429
PASSING_STATUSES = {UNAUTHORIZED, REQUEST_TIMEOUT, MISDIRECTED_REQUEST, TOO_MANY_REQUESTS}
MULTIPLE_CHOICES = 300  # HTTP answers below it are successes
PASSING = (
    AnymailConfigurationError,
    InterfaceError,  # of the database, which is asked for the attachments
    OperationalError,
    OSError,
    SoftTimeLimitExceeded,
    smtplib.SMTPException,
    # It was there when the mail was queued: a release is under way, and this worker is not part of it yet.
    TemplateDoesNotExist,
)


def is_temporary(error: BaseException) -> bool:
    """Tell whether a later attempt may succeed where this one failed.

    An SMTP reply says so itself: 4yz is temporary, 5yz permanent (RFC 5321, section 4.2.1). Over
    HTTP see `is_passing`. No answer at all is temporary too.
    """
    match error:
        case smtplib.SMTPAuthenticationError():
            # The mail is fine, the service's password is not: it waits until that is mended.
            return True
        case smtplib.SMTPRecipientsRefused():
            return all(code < PERMANENT for code, _ in error.recipients.values())
        case smtplib.SMTPResponseException():
            return error.smtp_code < PERMANENT
        case AnymailAPIError():
            return is_passing(error)
    return isinstance(error, PASSING) and not isinstance(error, smtplib.SMTPNotSupportedError)


def is_passing(error: AnymailAPIError) -> bool:
    """Tell whether an HTTP API may take later what it has not taken now.

    401, 408, 421, 429 and 5xx say so (RFC 9110, RFC 6585). Where a success could not be read, the
    error has a cause: whoever answered was perhaps not the provider.
    """
    status = http_status(error)
    if status is None:
        return True
    if status < MULTIPLE_CHOICES:
        return error.__cause__ is not None
    return status in PASSING_STATUSES or status >= SERVER_ERROR


def http_status(error: AnymailAPIError) -> int | None:
    """Return the status of the provider's answer; boto3 gives it as a part of a dictionary."""
    answer = error.response
    if isinstance(answer, dict):
        status: int | None = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return status
    return getattr(answer, "status_code", None)


def delay_after(attempt: int) -> timedelta:
    """Return how long to wait after the failed attempt of this number, counted from 1.

    Doubles from EMAIL_RETRY_INITIAL_DELAY to EMAIL_RETRY_MAX_DELAY. A random half of it spreads the mails
    that failed together, so that they do not come back together.
    """
    longest = conf.EMAIL_RETRY_MAX_DELAY.total_seconds()
    doubled = get_exponential_backoff_interval(
        factor=conf.EMAIL_RETRY_INITIAL_DELAY.total_seconds(),  # type: ignore[arg-type] # any number
        retries=min(attempt - 1, 30),  # beyond, the doubled number only costs time to compute
        maximum=longest,  # type: ignore[arg-type] # any number
    )
    return timedelta(seconds=random.uniform(doubled / 2, doubled))  # noqa: S311 - no secret
