"""What the providers' webhook views share."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from anymail.exceptions import AnymailAPIError, AnymailWebhookValidationFailure
from django.http import HttpRequest

# What Anymail raises for a body of an unexpected form, such as `null` or a list of texts.
UNREADABLE = (
    AnymailAPIError,  # of Amazon SES
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


class UnreadableReportIsRefused:
    """A webhook view that responds 400 to a report that it cannot read, signed or not."""

    def run_validators(self, request: HttpRequest) -> None:
        with reject_unreadable():
            super().run_validators(request)  # type: ignore[misc]

    def parse_events(self, request: HttpRequest) -> Any:
        with reject_unreadable():
            return super().parse_events(request)  # type: ignore[misc]


@contextmanager
def reject_unreadable() -> Iterator[None]:
    """Turn an error of reading into one for which Django responds 400."""
    try:
        yield
    except UNREADABLE as error:
        raise AnymailWebhookValidationFailure(f"unreadable report: {error!r}") from error
