"""The connection to the provider: opened once in a worker process, and again when it is broken."""

import smtplib
import threading
from contextlib import suppress
from typing import Any

from anymail.exceptions import AnymailAPIError, AnymailRecipientsRefused
from anymail.message import AnymailStatus
from django.core.mail import EmailMultiAlternatives, get_connection

SMTP_OK = 250  # RFC 5321, section 4.2.3
REFUSED = {"failed", "invalid", "rejected"}


class Current(threading.local):
    """One backend per thread: two threads must not share an SMTP connection."""

    backend: Any = None


current = Current()


def send(message: EmailMultiAlternatives) -> str:
    """Hand a message to the provider.

    Returns:
        the provider's id of the message, or its Message-ID if the provider gives none.

    Raises:
        ConnectionError: the connection cannot be opened: not the mail's error, whatever the reason.
        Any error of the backend; the connection is closed then, and the next call opens one.
    """
    connect()
    try:
        current.backend.send_messages([message])
    except BaseException:
        close()
        raise
    status = getattr(message, "anymail_status", None)
    if status is not None:
        validate_status(status)
        # Anymail lists a recipient once for each form of the address; some have no id.
        for recipient in status.recipients.values():
            if recipient.message_id:
                return str(recipient.message_id)
    return str(message.extra_headers["Message-ID"])


def connect() -> None:
    """Open the connection if it is not open, or broken.

    Raises:
        ConnectionError: the server is away, refuses the connection or the login, or a key is missing.
    """
    if current.backend is not None and not is_alive(current.backend):
        close()
    try:
        if current.backend is None:
            current.backend = get_connection()
        current.backend.open()
    except Exception as error:
        close()
        raise ConnectionError(f"{type(error).__name__}: {error}") from error


def validate_status(status: AnymailStatus) -> None:
    """Raise unless the provider has accepted the message; Anymail lets some other responses pass.

    Raises:
        AnymailRecipientsRefused: it has refused the message.
        AnymailAPIError: its response has no outcome.
    """
    if not status.message_id and status.status <= {"unknown"}:
        raise AnymailAPIError("The provider's response has no outcome for the message.")
    if status.status <= REFUSED:
        raise AnymailRecipientsRefused(f"The provider's status is {', '.join(status.status)}.")


def is_alive(backend: Any) -> bool:
    """Return whether an open SMTP connection still works.

    Called before a message: if the connection breaks after one, the server may have accepted it.
    Backends over HTTP need no check; their library reconnects.
    """
    smtp = getattr(backend, "connection", None)
    if not isinstance(smtp, smtplib.SMTP):
        return True
    try:
        return smtp.noop()[0] == SMTP_OK
    except (OSError, smtplib.SMTPException):
        return False


def close() -> None:
    """Close the connection if it is open."""
    backend, current.backend = current.backend, None
    if backend is not None:
        with suppress(OSError, smtplib.SMTPException):
            backend.close()
