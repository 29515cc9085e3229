"""Scaleway."""

from anymail.backends import scaleway
from requests import Response

from durable.mail.providers.base import (
    AccountErrorIsTemporary,
    UnreadableSuccessIsTemporary,
    json_field,
)


class ScalewayBackend(
    AccountErrorIsTemporary,
    UnreadableSuccessIsTemporary,
    scaleway.EmailBackend,  # type: ignore[misc]
):
    """Scaleway responds with 403 when a quota of the account is used up.

    https://github.com/scaleway/scaleway-sdk-js
    """

    @staticmethod
    def account_error(response: Response) -> str:
        """Return that a quota is used up, or an empty string."""
        exceeded = json_field(response, "type") == "quotas_exceeded"
        return "a quota of the account is used up" if exceeded else ""
