"""What an email provider expects, answers and reports, in its own wire format."""

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
        text: the body for those who read text.
        html: the body as a page.
        key: what names the message in the request: an idempotency key or a message id of the
            sender's, or "" where the provider takes none.
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
        headers: what comes with it, Content-Type included.
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
        local: the settings that lead to the server at a URL instead of the provider, and wait so
            many seconds for it.
        read: returns the mail in a request; asserts the path and the key of the service.
        accept: answers that a mail was accepted.
        message_id: by which the provider names the mail that it accepted: in its answer or, if
            the sender gave the name, in the request.
        refuse: answers that a mail is refused for good.
        rejects: further answers that say that the mail was not taken, each with a word for a
            test's name, such as "a suppressed recipient" or "an error with status 200".
        passes: answers that mean "later", since they pass, or wait until the account is in order,
            each with a word for a test's name. The mail stays queued.
        had: answers that the provider has had the mail before, which counts as success, or None.
        only_status: whether a successful answer has no content that could be garbage.
        delivered, hard_bounce: reports about a message id.
        complained: the same, or None if the provider reports no complaints.
        soft_bounce: reports that a mail was given up though the address may be good, or None.
        put_off: reports that the provider will try again, or None.
        forged: returns reports like `delivered`, unsigned, signed with another secret, or changed
            after they were signed, each with a word for a test's name.
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
    passes: dict[str, Callable[[], Response]] = field(default_factory=dict)
    had: Callable[[], Response] | None = None
    only_status: bool = False
    delivered: Callable[[str], Report] | None = None
    hard_bounce: Callable[[str], Report] | None = None
    soft_bounce: Callable[[str], Report] | None = None
    put_off: Callable[[str], Report] | None = None
    complained: Callable[[str], Report] | None = None
    forged: Callable[[str], dict[str, Report]] | None = None


def find() -> dict[str, Provider]:
    """Return the provider of this project by its name; before rendering, all of them."""
    names = [module.name for module in pkgutil.iter_modules(__path__)]
    return {name: import_module(f"{__name__}.{name}").PROVIDER for name in names}
