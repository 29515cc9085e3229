"""Mailgun."""

import hashlib
import json
import time
from typing import Any

import structlog
from anymail.exceptions import AnymailWebhookValidationFailure
from anymail.signals import AnymailTrackingEvent
from anymail.webhooks.mailgun import MailgunTrackingWebhookView
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from redis.exceptions import RedisError

from durable.mail.providers.webhooks import UnreadableReportIsRefused, reject_unreadable

logger = structlog.get_logger(__name__)

# Mailgun repeats a report that was not accepted for 8 hours, with its first signature.
# https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/webhook-retries
MAX_AGE = 9 * 60 * 60  # seconds
MAX_CLOCK_SKEW = 10 * 60  # seconds that a signature may be in the future


class MailgunWebhookView(UnreadableReportIsRefused, MailgunTrackingWebhookView):  # type: ignore[misc]
    """Mailgun signs a time and a token, not the report: a signature must be fresh, for one report only.

    Without the cache no report is accepted: Mailgun repeats it.
    https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks
    """

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            response: HttpResponse = super().post(request, *args, **kwargs)
        except RedisError as error:
            logger.warning("email_report_postponed", provider=self.esp_name, error=str(error))
            return HttpResponse(status=503)
        return response

    def parse_events(self, request: HttpRequest) -> list[AnymailTrackingEvent]:
        events: list[AnymailTrackingEvent] = super().parse_events(request)
        with reject_unreadable():
            signature = signature_of(request)
            age = time.time() - int(signature["timestamp"])
            if not -MAX_CLOCK_SKEW < age < MAX_AGE:
                raise AnymailWebhookValidationFailure(f"the signature is {age:.0f} s old")
            for event in events:
                use_token(signature["token"], event)
        return events


def signature_of(request: HttpRequest) -> Any:
    """Return the mapping that holds the time and the token of a request, in either of its forms."""
    if request.content_type == "application/json":
        return json.loads(request.body)["signature"]
    return request.POST


def use_token(token: str, event: AnymailTrackingEvent) -> None:
    """Remember what a token was used for.

    Raises:
        AnymailWebhookValidationFailure: it was used for another report.
        RedisError: the cache does not respond.
    """
    report = [event.event_type, event.message_id, event.recipient, event.reject_reason]
    digest = hashlib.sha256(json.dumps(report).encode()).hexdigest()
    key = f"mailgun-token-{hashlib.sha256(token.encode()).hexdigest()}"
    if not cache.add(key, digest, MAX_AGE + MAX_CLOCK_SKEW) and cache.get(key) != digest:
        raise AnymailWebhookValidationFailure("the signature was used for another report")
