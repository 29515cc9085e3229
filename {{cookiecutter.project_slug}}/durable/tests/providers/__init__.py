"""Requests, responses and reports of the email providers, in their own wire formats."""

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from werkzeug import Request, Response

RECIPIENT = "ann@example.com"


@dataclass(frozen=True)
class Mail:
    """What a provider reads from a request to send.

    Args:
        to: the recipient, with or without a name.
        subject: the subject.
        text: the plain-text body.
        html: the HTML body.
        key: the sender's name for the message, an idempotency key or a message id, or "" if the
            provider accepts none.
    """

    to: str
    subject: str
    text: str
    html: str
    key: str = ""


@dataclass(frozen=True)
class Report:
    """A webhook request as the provider sends it, signed.

    Args:
        body: the body of the POST request.
        headers: its headers, Content-Type included.
    """

    body: bytes
    headers: dict[str, str]


@dataclass(frozen=True)
class Provider:
    """One provider.

    Args:
        backend: EMAIL_BACKEND.
        webhook: EMAIL_WEBHOOK, or None if the provider sends no reports.
        environment: the variables that production needs.
        anymail: what config/settings/email.py makes of them.
        local: the settings that lead to the server at a URL instead of the provider, and a time-out
            in seconds.
        read: returns the mail in a request; asserts the path and the key of the service.
        accept: a response that accepts a mail.
        message_id: the provider's id of an accepted mail: from its response or, if the sender gave
            the id, from the request.
        refuse: a response that refuses a mail for good.
        rejects: further such responses, by a name for a test, such as "a suppressed recipient" or
            "an error with status 200".
        temporary: responses that mean "later", by a name for a test: the error passes, or the
            account is not in order. The mail stays queued.
        duplicate: a response that the provider has accepted the mail before, or None.
        status_only: whether a successful response has no content that could be unreadable.
        delivered, hard_bounce: reports about a message id.
        complained: the same, or None if the provider reports no complaints.
        soft_bounce: reports a mail that was not delivered to an address that may be good, or None.
        deferred: reports that the provider will try again, or None.
        forged: reports like `delivered`, by a name for a test: unsigned, signed with another
            secret, or changed after signing.
    """

    backend: str
    webhook: str | None
    environment: dict[str, str]
    anymail: dict[str, Any]
    local: Callable[[str, float], dict[str, Any]]
    read: Callable[[Request], Mail]
    accept: Callable[[], Response]
    message_id: Callable[[Mail], str]
    refuse: Callable[[], Response]
    rejects: dict[str, Callable[[], Response]] = field(default_factory=dict)
    temporary: dict[str, Callable[[], Response]] = field(default_factory=dict)
    duplicate: Callable[[], Response] | None = None
    status_only: bool = False
    delivered: Callable[[str], Report] | None = None
    hard_bounce: Callable[[str], Report] | None = None
    soft_bounce: Callable[[str], Report] | None = None
    deferred: Callable[[str], Report] | None = None
    complained: Callable[[str], Report] | None = None
    forged: Callable[[str], dict[str, Report]] | None = None


def load_providers() -> dict[str, Provider]:
    """Return all providers by name; after rendering, there is one."""
    names = [module.name for module in pkgutil.iter_modules(__path__)]
    return {name: import_module(f"{__name__}.{name}").PROVIDER for name in names}
