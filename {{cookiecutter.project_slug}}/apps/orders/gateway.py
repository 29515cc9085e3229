"""What the payment gateway is asked over HTTP, and what its answers mean."""

from decimal import Decimal
from http import HTTPStatus

import requests
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

CLIENT_ERRORS = range(400, 500)
# Those about the service or about the moment; all others are about the payment.
NOT_ABOUT_THE_PAYMENT = {
    HTTPStatus.UNAUTHORIZED,  # the service's own key is wrong, until somebody mends that
    HTTPStatus.FORBIDDEN,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.CONFLICT,  # the same payment is under way: another worker has just asked
    HTTPStatus.TOO_EARLY,
    HTTPStatus.TOO_MANY_REQUESTS,
}


class PaymentRefusedError(Exception):
    """The gateway will not take this payment, however often it is asked."""


class GatewayUnavailableError(Exception):
    """The gateway has not said whether it took the payment: ask again, with the same key."""


def charge(key: str, amount: Decimal, currency: str) -> str:
    """Take a payment, once for each key, and return the gateway's name for it.

    Args:
        key: the same key gets the answer to the first payment under it, and pays nothing more.
        amount: in units of `currency`.
        currency: by its code of three letters.

    Raises:
        PaymentRefusedError: it is refused for good.
        GatewayUnavailableError: nobody knows whether it was taken: 5xx, a redirect, no clear answer,
            or a 4xx of NOT_ABOUT_THE_PAYMENT.
        requests.ConnectionError, requests.Timeout: the same.
        ImproperlyConfigured: there is no gateway.
    """
    if not settings.PAYMENT_GATEWAY_URL:
        raise ImproperlyConfigured(
            "PAYMENT_GATEWAY_URL is not set, so nobody can pay: set it, restart the workers, and "
            "run the failed task again"
        )
    try:
        answer = requests.post(
            f"{settings.PAYMENT_GATEWAY_URL}/charges",
            json={"amount": str(amount), "currency": currency},
            headers={"Idempotency-Key": key},
            timeout=settings.PAYMENT_GATEWAY_TIMEOUT,
            allow_redirects=False,  # a redirected POST becomes a GET, which charges nobody
        )
    except (
        requests.exceptions.ChunkedEncodingError
    ) as error:  # cut off; no ConnectionError to requests
        raise GatewayUnavailableError(str(error)) from error
    return reference_in(answer)


def reference_in(answer: requests.Response) -> str:
    """Return the payment that an answer names; see `charge` for what is raised."""
    status = answer.status_code
    if status in (HTTPStatus.OK, HTTPStatus.CREATED):
        try:
            return str(answer.json()["id"])
        except (ValueError, TypeError, LookupError) as error:
            raise GatewayUnavailableError(f"{status} without a payment's id") from error
    said = f"{status} {answer.text[:200]}"
    if status in CLIENT_ERRORS and status not in NOT_ABOUT_THE_PAYMENT:
        raise PaymentRefusedError(said)
    raise GatewayUnavailableError(said)
