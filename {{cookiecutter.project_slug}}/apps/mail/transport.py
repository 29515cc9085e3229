"""The connection to the provider: opened once per worker process, kept, reopened when it broke."""

import smtplib
import threading
from contextlib import suppress
from typing import Any

from anymail.exceptions import AnymailAPIError, AnymailRecipientsRefused
from anymail.message import AnymailStatus
from django.core.mail import EmailMultiAlternatives, get_connection

REPLY_OK = 250  # RFC 5321, section 4.2.3
REFUSED = {"failed", "invalid", "rejected"}


class Kept(threading.local):
    """One connection per thread: SMTP is a conversation, and two must not speak at once."""

    backend: Any = None


kept = Kept()


def send(message: EmailMultiAlternatives) -> str:
    """Hand `message` to the provider.

    Returns:
        the provider's id of the message, or its Message-ID where the provider gives none.

    Raises:
        whatever the backend raises; the connection is closed then, and the next call opens one.
    """
    if kept.backend is None:
        kept.backend = get_connection()
    if not is_alive(kept.backend):
        close()
        kept.backend = get_connection()
    try:
        kept.backend.open()
        kept.backend.send_messages([message])
    except BaseException:
        close()
        raise
    status = getattr(message, "anymail_status", None)
    if status is not None:
        check_status(status)
    return str(getattr(status, "message_id", None) or message.extra_headers["Message-ID"])


def check_status(status: AnymailStatus) -> None:
    """Raise unless the provider has taken the message; Anymail lets some other answers pass.

    Raises:
        AnymailRecipientsRefused: it has not.
        AnymailAPIError: its answer does not tell.
    """
    if not status.message_id and status.status <= {"unknown"}:
        raise AnymailAPIError("The provider's answer does not say what came of the message.")
    if status.status <= REFUSED:
        raise AnymailRecipientsRefused(f"The provider's status is {', '.join(status.status)}.")


def is_alive(backend: Any) -> bool:
    """Ask an open SMTP connection whether it still stands.

    Asked before a message, since a connection that breaks after one leaves open whether the
    server took it. Backends over HTTP have no such question; their library reconnects.
    """
    smtp = getattr(backend, "connection", None)
    if not isinstance(smtp, smtplib.SMTP):
        return True
    try:
        return smtp.noop()[0] == REPLY_OK
    except (OSError, smtplib.SMTPException):
        return False


def close() -> None:
    """Close the kept connection, if there is one."""
    backend, kept.backend = kept.backend, None
    if backend is not None:
        with suppress(OSError, smtplib.SMTPException):
            backend.close()
