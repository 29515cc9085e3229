"""Amazon SES; only this module needs boto3."""

from typing import Any

from anymail.backends import amazon_ses
from anymail.exceptions import AnymailAPIError
from anymail.signals import AnymailTrackingEvent
from anymail.webhooks.amazon_ses import AmazonSESTrackingWebhookView
from django.core.mail import EmailMessage

from durable.mail.providers.base import temporary_error
from durable.mail.providers.webhooks import UnreadableReportIsRefused

FORBIDDEN = 403
# Errors of the account, not of the mail.
# https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html
ACCOUNT_ERRORS = {
    "AccountSuspendedException",
    "LimitExceededException",
    "SendingPausedException",
    "ThrottlingException",
}


class AmazonSESBackend(amazon_ses.EmailBackend):  # type: ignore[misc]
    """SES responds with HTTP 400 or 403 to what it will accept once the account is in order."""

    def post_to_esp(self, payload: Any, message: EmailMessage) -> Any:
        try:
            return super().post_to_esp(payload, message)
        except AnymailAPIError as error:
            if not self.is_account_error(error):
                raise
            raise temporary_error(self, str(error), payload, message) from error
        except AttributeError as error:  # botocore expects every JSON to be an object
            reason = "The provider's response is unreadable."
            raise temporary_error(self, reason, payload, message) from error

    @staticmethod
    def is_account_error(error: AnymailAPIError) -> bool:
        """Return whether the mail can go out once the account or its keys are in order."""
        if not isinstance(error.response, dict):
            return False
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        return status == FORBIDDEN or error.response["Error"]["Code"] in ACCOUNT_ERRORS


class AmazonSESWebhookView(UnreadableReportIsRefused, AmazonSESTrackingWebhookView):  # type: ignore[misc]
    """Anymail gives no reason for a bounce."""

    @staticmethod
    def is_hard_bounce(event: AnymailTrackingEvent) -> bool:
        return bool(event.esp_event["bounce"]["bounceType"] == "Permanent")
