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
        ConnectionError: the connection cannot be opened, which says nothing about the mail.
        whatever the backend raises; the connection is closed then, and the next call opens one.
    """
    connect()
    try:
        kept.backend.send_messages([message])
    except BaseException:
        close()
        raise
    status = getattr(message, "anymail_status", None)
    if status is not None:
        check_status(status)
        # Anymail keeps one answer for each way in which an address was written, and one is empty then.
        for recipient in status.recipients.values():
            if recipient.message_id:
                return str(recipient.message_id)
    return str(message.extra_headers["Message-ID"])


def connect() -> None:
    """Open the kept connection where it is not open, or has broken.

    Raises:
        ConnectionError: the server is away, or greets or lets in nobody; a key is missing.
    """
    if kept.backend is not None and not is_alive(kept.backend):
        close()
    try:
        if kept.backend is None:
            kept.backend = get_connection()
        kept.backend.open()
    except Exception as error:
        close()
        raise ConnectionError(f"{type(error).__name__}: {error}") from error


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
