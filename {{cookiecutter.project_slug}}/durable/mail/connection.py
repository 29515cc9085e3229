"""The connection to the provider: opened once in a worker process, and again when it is broken."""

import smtplib
import threading
from contextlib import suppress
from typing import Any

from anymail.exceptions import AnymailAPIError, AnymailRecipientsRefused
from anymail.message import AnymailStatus
from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection

SMTP_OK = 250  # RFC 5321, section 4.2.3
# A request has to be written within the time-out. For each of these parts of a large mail it gets one
# more: with EMAIL_TIMEOUT = 10 s, a line of 10 Mbit/s is fast enough. So the largest mail, 18 MB of
# attachments, takes no longer than three time-outs, the task's limit. Raise EMAIL_TIMEOUT for a
# slower line: the limits follow.
BYTES_PER_TIMEOUT = 12_500_000
BASE64_GROWTH = 1.37  # with line breaks: RFC 2045, section 6.8
REFUSED = {"failed", "invalid", "rejected"}


class Current(threading.local):
    """One backend per thread: two threads must not share an SMTP connection."""

    backend: Any = None
    timeout: float | None = None  # seconds, as the backend was opened


current = Current()


def provider() -> str:
    """Return the name of the provider: the module of its backend, such as "smtp" or "mailgun"."""
    return settings.EMAIL_BACKEND.rpartition(".")[0].rpartition(".")[2][:50]


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
        set_timeout(current.backend, message)
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
    try:
        if current.backend is not None and not is_alive(current.backend):
            close()
        if current.backend is None:
            current.backend = get_connection()
            current.timeout = getattr(current.backend, "timeout", None)
        current.backend.open()
    except Exception as error:
        close()
        raise ConnectionError(f"{type(error).__name__}: {error}") from error


def set_timeout(backend: Any, message: EmailMultiAlternatives) -> None:
    """Let the time-out grow with the size of the message's attachments.

    Python's `sendall` and `requests` have one time-out for all that they write. boto3's cannot change.
    """
    if current.timeout is None:
        return
    size = BASE64_GROWTH * sum(len(content) for _name, content, _type in message.attachments)
    timeout = current.timeout * (1 + size / BYTES_PER_TIMEOUT)
    backend.timeout = timeout
    smtp = smtp_of(backend)
    if smtp is not None and smtp.sock is not None:
        smtp.sock.settimeout(timeout)


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
    smtp = smtp_of(backend)
    if smtp is None:
        return True
    try:
        return smtp.noop()[0] == SMTP_OK
    except (OSError, smtplib.SMTPException):
        return False


def smtp_of(backend: Any) -> smtplib.SMTP | None:
    """Return the open SMTP connection of a backend, or None."""
    smtp = getattr(backend, "connection", None)
    return smtp if isinstance(smtp, smtplib.SMTP) else None


def close() -> None:
    """Close the connection if it is open, without another word to the server.

    Django would say QUIT and wait for the reply. A server that sends it byte by byte would hold the
    worker until its hard limit: the time-out is for each byte.
    """
    backend, current.backend = current.backend, None
    for name in ("_partial_connection", "connection"):  # the first while Django opens it
        smtp = getattr(backend, name, None)
        if isinstance(smtp, smtplib.SMTP):
            setattr(backend, name, None)
            with suppress(OSError):
                smtp.close()
    if backend is not None:
        with suppress(OSError, smtplib.SMTPException):
            backend.close()
