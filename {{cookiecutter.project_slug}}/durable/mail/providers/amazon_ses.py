"""Anymail's backend of Amazon SES, apart from the others since only it needs boto3."""

from typing import Any

from anymail.backends import amazon_ses
from anymail.exceptions import AnymailAPIError
from django.core.mail import EmailMessage

FORBIDDEN = 403
# What is wrong with the account, not with the mail.
# https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html
ACCOUNT_ERRORS = {
    "AccountSuspendedException",
    "LimitExceededException",
    "SendingPausedException",
    "ThrottlingException",
}


class AmazonSESBackend(amazon_ses.EmailBackend):  # type: ignore[misc]
    """SES answers with HTTP 400 or 403 to what it will take once the account is in order."""

    def post_to_esp(self, payload: Any, message: EmailMessage) -> Any:
        try:
            return super().post_to_esp(payload, message)
        except AnymailAPIError as error:
            if not self.is_of_account(error):
                raise
            reason = str(error)
            cause: Exception = error
        except AttributeError as error:  # botocore takes all JSON for an object
            reason = "The provider's answer makes no sense."
            cause = error
        # Without the answer, whose status would say that the mail is refused for good.
        raise AnymailAPIError(
            reason, email_message=message, payload=payload, backend=self
        ) from cause

    @staticmethod
    def is_of_account(error: AnymailAPIError) -> bool:
        """Tell whether the mail can go out once the account or its keys are in order."""
        if not isinstance(error.response, dict):
            return False
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        return status == FORBIDDEN or error.response["Error"]["Code"] in ACCOUNT_ERRORS
