"""Which errors pass by themselves, and how long to wait for that."""

import random
import smtplib
from datetime import timedelta

from anymail.exceptions import AnymailAPIError
from celery.exceptions import SoftTimeLimitExceeded
from celery.utils.time import get_exponential_backoff_interval
from django.conf import settings

PERMANENT = 500  # SMTP replies from here on
SERVER_ERROR = 500  # HTTP answers from here on
TOO_MANY_REQUESTS = 429
PASSING = (AnymailAPIError, OSError, SoftTimeLimitExceeded, smtplib.SMTPException)


def is_temporary(error: BaseException) -> bool:
    """Tell whether a later attempt may succeed where this one failed.

    An SMTP reply says so itself: 4yz is temporary, 5yz permanent (RFC 5321, section 4.2.1). Over
    HTTP, 429 and 5xx are temporary (RFC 6585, RFC 9110). No answer at all is temporary too.
    """
    match error:
        case smtplib.SMTPAuthenticationError():
            # The mail is fine, the service's password is not: it waits until that is mended.
            return True
        case smtplib.SMTPRecipientsRefused():
            return all(code < PERMANENT for code, _ in error.recipients.values())
        case smtplib.SMTPResponseException():
            return error.smtp_code < PERMANENT
        case AnymailAPIError(status_code=int(code)):
            return code == TOO_MANY_REQUESTS or code >= SERVER_ERROR
    return isinstance(error, PASSING) and not isinstance(error, smtplib.SMTPNotSupportedError)


def delay_after(attempt: int) -> timedelta:
    """Return how long to wait after the failed attempt of this number, counted from 1.

    Doubles from EMAIL_RETRY_FIRST to EMAIL_RETRY_LONGEST. A random half of it spreads the mails
    that failed together, so that they do not come back together.
    """
    longest = settings.EMAIL_RETRY_LONGEST.total_seconds()
    doubled = get_exponential_backoff_interval(
        factor=settings.EMAIL_RETRY_FIRST.total_seconds(),  # type: ignore[arg-type] # any number
        retries=min(attempt - 1, 30),  # beyond, the doubled number only costs time to compute
        maximum=longest,  # type: ignore[arg-type] # any number
    )
    return timedelta(seconds=random.uniform(doubled / 2, doubled))  # noqa: S311 - no secret
