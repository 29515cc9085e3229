"""The client of the payment gateway."""

from decimal import Decimal
from http import HTTPStatus

import requests
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

CLIENT_ERRORS = range(400, 500)
# Client errors that do not decide on the payment; all others decline it.
RETRYABLE = {
    HTTPStatus.UNAUTHORIZED,  # the service's own key is wrong: an operator has to fix it
    HTTPStatus.FORBIDDEN,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.CONFLICT,  # another worker is charging the same payment
    HTTPStatus.TOO_EARLY,
    HTTPStatus.TOO_MANY_REQUESTS,
}


class PaymentDeclinedError(Exception):
    """The gateway declines this payment; retrying will not help."""


class GatewayUnavailableError(Exception):
    """It is unknown whether the gateway took the payment: retry with the same key."""


def charge(key: str, amount: Decimal, currency: str) -> str:
    """Charge a payment, once for each key; return the gateway's id for it.

    Args:
        key: a second payment with the same key gets the response to the first and charges nothing.
        amount: in units of `currency`.
        currency: a code of three letters (ISO 4217).

    Raises:
        PaymentDeclinedError: the payment is declined.
        GatewayUnavailableError: the response does not show whether the payment was taken: 5xx, a
            redirect, unreadable content, or a status in RETRYABLE.
        requests.ConnectionError, requests.Timeout: there is no response.
        ImproperlyConfigured: PAYMENT_GATEWAY_URL is not set.
    """
    if not settings.PAYMENT_GATEWAY_URL:
        raise ImproperlyConfigured(
            "PAYMENT_GATEWAY_URL is not set: set it, restart the workers, and replay the failed task"
        )
    try:
        response = requests.post(
            f"{settings.PAYMENT_GATEWAY_URL}/charges",
            json={"amount": str(amount), "currency": currency},
            headers={"Idempotency-Key": key},
            timeout=settings.PAYMENT_GATEWAY_TIMEOUT,
            allow_redirects=False,  # requests would turn the POST into a GET, which charges nothing
        )
    # A response that is cut off is no ConnectionError for requests.
    except requests.exceptions.ChunkedEncodingError as error:
        raise GatewayUnavailableError(str(error)) from error
    return payment_id(response)


def payment_id(response: requests.Response) -> str:
    """Return the id of the payment in a response; see `charge` for errors."""
    status = response.status_code
    if status in (HTTPStatus.OK, HTTPStatus.CREATED):
        try:
            return str(response.json()["id"])
        except (ValueError, TypeError, LookupError) as error:
            raise GatewayUnavailableError(f"{status} without a payment id") from error
    message = f"{status} {response.text[:200]}"
    if status in CLIENT_ERRORS and status not in RETRYABLE:
        raise PaymentDeclinedError(message)
    raise GatewayUnavailableError(message)
