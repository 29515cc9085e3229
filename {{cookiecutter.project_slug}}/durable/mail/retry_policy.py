"""Which errors are temporary, and how long to wait before the next attempt."""

import random
import smtplib
from datetime import timedelta

from anymail.exceptions import AnymailAPIError, AnymailConfigurationError
from celery.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded
from celery.utils.time import get_exponential_backoff_interval
from django.template import TemplateDoesNotExist

from durable.conf import conf
from durable.errors import DATABASE_ERRORS

SMTP_PERMANENT = 500  # replies from here on: RFC 5321, section 4.2.1
# Errors of the service's login, not of the mail: authentication required, mechanism too weak,
# credentials invalid, encryption required (RFC 4954, section 6).
SMTP_LOGIN_ERRORS = {530, 534, 535, 538}
HTTP_SUCCESSES = range(200, 300)
HTTP_SERVER_ERROR = 500  # statuses from here on
# 401 is an error of the service's key. The others pass: request timeout, misdirected request (of
# MailerSend during its maintenance), too many requests.
HTTP_TEMPORARY = {401, 408, 421, 429}
TEMPORARY_ERRORS = (
    *DATABASE_ERRORS,  # the database is asked for attachments
    AnymailConfigurationError,
    OSError,
    SoftTimeLimitExceeded,
    TimeLimitExceeded,
    smtplib.SMTPException,
    # It existed when the mail was queued: this worker is not part of the new release yet.
    TemplateDoesNotExist,
)


def is_temporary(error: BaseException) -> bool:
    """Return whether a later attempt may succeed.

    The code of an SMTP reply or the status of an HTTP response decides. An error without a response,
    and an error of the service instead of the mail, is temporary.
    """
    match error:
        case smtplib.SMTPRecipientsRefused():
            return all(is_temporary_code(code) for code, _ in error.recipients.values())
        case smtplib.SMTPResponseException():
            return is_temporary_code(error.smtp_code)
        case AnymailAPIError():
            return is_temporary_status(error)
    return isinstance(error, TEMPORARY_ERRORS) and not isinstance(
        error, smtplib.SMTPNotSupportedError
    )


def is_temporary_code(code: int) -> bool:
    """Return whether an SMTP server may accept later what it has not accepted now."""
    return code < SMTP_PERMANENT or code in SMTP_LOGIN_ERRORS


def is_temporary_status(error: AnymailAPIError) -> bool:
    """Return whether an HTTP API may accept later what it has not accepted now.

    An unreadable success has a cause: perhaps the response was not the provider's.
    """
    status = http_status(error)
    if status is None:
        return True
    if status in HTTP_SUCCESSES:
        return error.__cause__ is not None
    return status in HTTP_TEMPORARY or status >= HTTP_SERVER_ERROR


def http_status(error: AnymailAPIError) -> int | None:
    """Return the status of the provider's response; boto3's is a dictionary."""
    response = error.response
    if isinstance(response, dict):
        status: int | None = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return status
    return getattr(response, "status_code", None)


def delay_after(attempt: int) -> timedelta:
    """Return how long to wait after the failed attempt of this number, counted from 1.

    It doubles from EMAIL_RETRY_INITIAL_DELAY to EMAIL_RETRY_MAX_DELAY. A random part of it, up to
    half, is left out, so that mails that failed together do not return together.
    """
    doubled = get_exponential_backoff_interval(
        factor=conf.EMAIL_RETRY_INITIAL_DELAY.total_seconds(),  # type: ignore[arg-type] # any number
        retries=min(attempt - 1, 30),  # more only costs time to compute
        maximum=conf.EMAIL_RETRY_MAX_DELAY.total_seconds(),  # type: ignore[arg-type] # any number
    )
    return timedelta(seconds=random.uniform(doubled / 2, doubled))  # noqa: S311 - no secret
