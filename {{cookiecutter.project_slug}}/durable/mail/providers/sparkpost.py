"""SparkPost."""

from anymail.backends import sparkpost
from anymail.signals import AnymailTrackingEvent
from anymail.webhooks.sparkpost import SparkPostTrackingWebhookView
from requests import Response

from durable.mail.providers.base import AccountErrorIsTemporary
from durable.mail.providers.webhooks import UnreadableReportIsRefused

LIMIT_EXCEEDED = 420  # https://developers.sparkpost.com/api/transmissions/#header-sending-limits
# https://support.sparkpost.com/docs/deliverability/bounce-classification-codes
HARD_BOUNCES = {"10", "30"}


class SparkPostBackend(AccountErrorIsTemporary, sparkpost.EmailBackend):  # type: ignore[misc]
    """SparkPost responds with 420 while a sending limit of the account is used up."""

    @staticmethod
    def account_error(response: Response) -> str:
        """Return that a limit is used up, or an empty string."""
        exceeded = response.status_code == LIMIT_EXCEEDED
        return "a sending limit of the account is used up" if exceeded else ""


class SparkPostWebhookView(UnreadableReportIsRefused, SparkPostTrackingWebhookView):  # type: ignore[misc]
    """Anymail reports some soft bounces as it does hard ones."""

    @staticmethod
    def is_hard_bounce(event: AnymailTrackingEvent) -> bool:
        raw = next(iter(event.esp_event["msys"].values()))
        return raw["bounce_class"] in HARD_BOUNCES
