import smtplib
from datetime import timedelta

import pytest
import requests
from anymail.exceptions import AnymailAPIError, AnymailInvalidAddress, AnymailRequestsAPIError
from celery.exceptions import SoftTimeLimitExceeded

from durable.conf import conf
from durable.mail.retry_policy import delay_after, is_temporary


def api_error(status):
    response = requests.Response()
    response.status_code, response.reason = status, "the provider's reason"
    return AnymailRequestsAPIError("refused", response=response)


@pytest.mark.parametrize(
    ("error", "temporary"),
    [
        (smtplib.SMTPServerDisconnected("gone"), True),
        (smtplib.SMTPConnectError(421, b"busy"), True),
        (smtplib.SMTPDataError(451, b"later"), True),
        (smtplib.SMTPDataError(550, b"never"), False),
        (smtplib.SMTPRecipientsRefused({"a@example.com": (450, b"later")}), True),
        (smtplib.SMTPRecipientsRefused({"a@example.com": (550, b"unknown")}), False),
        (smtplib.SMTPSenderRefused(553, b"not you", "b@example.com"), False),
        (smtplib.SMTPSenderRefused(530, b"log in first", "b@example.com"), True),
        (smtplib.SMTPRecipientsRefused({"a@example.com": (530, b"log in first")}), True),
        (smtplib.SMTPAuthenticationError(535, b"no"), True),
        (smtplib.SMTPNotSupportedError("no SMTPUTF8"), False),
        (TimeoutError("slow"), True),
        (ConnectionResetError("reset"), True),
        (SoftTimeLimitExceeded(), True),
        (api_error(421), True),
        (api_error(429), True),
        (api_error(503), True),
        (api_error(400), False),
        (AnymailAPIError("no answer"), True),
        (AnymailInvalidAddress("broken"), False),
        (ValueError("a bug"), False),
    ],
    ids=lambda value: " ".join(str(value).split()) if isinstance(value, Exception) else None,
)
def test_errors_that_pass_or_are_the_services_are_temporary(error, temporary):
    assert is_temporary(error) is temporary


@pytest.mark.parametrize(
    ("attempt", "longest"), [(1, 5), (2, 10), (5, 80), (8, 600), (50, 600), (10_000, 600)]
)
def test_the_delay_doubles_up_to_ten_minutes_with_jitter(settings, attempt, longest):
    settings.EMAIL_RETRY_INITIAL_DELAY = conf.EMAIL_RETRY_MAX_DELAY / 120

    seconds = [delay_after(attempt).total_seconds() for _ in range(50)]

    assert longest / 2 <= min(seconds) < max(seconds) <= longest


def test_all_attempts_together_span_about_five_hours(settings):
    settings.EMAIL_RETRY_INITIAL_DELAY = conf.EMAIL_RETRY_MAX_DELAY / 120

    waits = [delay_after(attempt) for attempt in range(1, settings.EMAIL_MAX_ATTEMPTS)]

    assert timedelta(hours=4.5) < sum(waits, timedelta()) < timedelta(hours=6.3)
