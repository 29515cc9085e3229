"""Postmark."""

from anymail.backends import postmark
from anymail.signals import AnymailTrackingEvent
from anymail.webhooks.postmark import PostmarkTrackingWebhookView
from requests import Response

from durable.mail.providers.base import AccountErrorIsTemporary, json_field
from durable.mail.providers.webhooks import UnreadableReportIsRefused

ACCOUNT_ERRORS = {
    "100": "maintenance",
    "405": "the account may not send, or has no credit left",
    "412": "the account waits for its approval",
    "413": "the account may not send",
}


class PostmarkBackend(AccountErrorIsTemporary, postmark.EmailBackend):  # type: ignore[misc]
    """Postmark responds to every error with 422, and numbers the error in the content.

    https://postmarkapp.com/developer/api/overview#error-codes
    """

    @staticmethod
    def account_error(response: Response) -> str:
        """Return what is wrong with the account and Postmark's number for it, or an empty string."""
        code = str(json_field(response, "ErrorCode"))
        return f"{ACCOUNT_ERRORS[code]} (error {code})" if code in ACCOUNT_ERRORS else ""


class PostmarkWebhookView(UnreadableReportIsRefused, PostmarkTrackingWebhookView):  # type: ignore[misc]
    """Anymail reports a soft bounce as it does a hard one."""

    @staticmethod
    def is_hard_bounce(event: AnymailTrackingEvent) -> bool:
        return bool(event.esp_event.get("Type") == "HardBounce")
