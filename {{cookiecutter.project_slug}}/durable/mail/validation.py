"""What a mail may hold. A mistake is refused by the call, before anything is written."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from django.db import models
from django.template.loader import get_template

from durable.conf import conf
from durable.mail.models import Email, EmailAttachment
from durable.text import to_json, validate_text

Attachment = tuple[str, bytes, str]

HEADER_NAME = re.compile(r"[!-9;-~]+")  # RFC 5322, section 3.6.8
TOKEN = r"[\w!#$%&'*+.^`|~-]+"  # noqa: S105 - RFC 2045, section 5.1
CONTENT_TYPE = re.compile(rf"{TOKEN}/{TOKEN}", re.ASCII)
# Set by the service. A second one of them makes a mail that servers refuse or readers misread; a Bcc
# would reach no recipient, and each recipient would see it.
OWN_HEADERS = {
    *("bcc", "from", "message-id", "reply-to", "subject", "to"),
    *("content-transfer-encoding", "content-type", "mime-version"),
}
# Their content is messages, not a file.
COMPOSITE_TYPE = re.compile(r"(?:message|multipart)/", re.IGNORECASE)
LINE_BREAK = re.compile(r"[\r\n]")


def validate_column(where: str, text: str, model: type[models.Model], column: str) -> str:
    """Return a text that fits into its column.

    Args:
        where: what the text is, for the error's text: `key`.
        text: the text.
        model: with the column.
        column: the name of its field.

    Raises:
        TypeError: it is no text.
        ValueError: it is too long, or the database cannot hold it.
    """
    field: Any = model._meta.get_field(column)
    longest = field.max_length
    if len(validate_text(where, text)) > longest:
        raise ValueError(f"{where}: {len(text)} characters given, and {longest} are allowed")
    return text


def validate_template(template: str) -> str:
    """Return the name of a template that has its three files.

    Raises:
        TemplateDoesNotExist: one is missing.
        TypeError, ValueError: see `validate_column`.
    """
    validate_column("template", template, Email, "template")
    for ending in ("subject.txt", "txt", "html"):
        get_template(f"mail/{template}.{ending}")
    return template


def validate_context(context: Mapping[str, Any]) -> dict[str, Any]:
    """Return a context as JSON gives it back: dates, decimals and UUIDs become texts.

    Raises:
        TypeError, ValueError: see `durable.text.dump_json`.
    """
    stored: dict[str, Any] = to_json("context", dict(context))
    return stored


def validate_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers that cannot add another header, and that the database can hold.

    Raises:
        TypeError: a name or a value is no text.
        ValueError: a name is no header's name, or the service sets it; a value holds a line break, or the database cannot
            hold it.
    """
    for name, value in headers.items():
        if not HEADER_NAME.fullmatch(validate_text("headers", name)):
            raise ValueError(f"headers: {name!r} is not the name of a header")
        if name.lower() in OWN_HEADERS:
            raise ValueError(f"headers: {name} is set by the service: use the arguments")
        if LINE_BREAK.search(validate_text(f"headers: {name}", value)):
            raise ValueError(f"headers: {name}: the value holds a line break")
    return dict(headers)


def validate_attachments(attachments: Iterable[Attachment]) -> list[EmailAttachment]:
    """Return new rows of attachments.

    Raises:
        TypeError, ValueError: see `validate_attachment`.
        ValueError: they are too large together.
    """
    files = [validate_attachment(*attachment) for attachment in attachments]
    size, largest = sum(len(file.content) for file in files), conf.EMAIL_MAX_ATTACHMENTS_SIZE
    if size > largest:
        raise ValueError(
            f"attachments: {size:,} bytes together, and {largest:,} are allowed: send a link instead"
        )
    return files


def validate_attachment(name: str, content: bytes, content_type: str) -> EmailAttachment:
    """Return the new row of an attachment.

    Raises:
        TypeError: the content is not bytes, or the name or type is no text.
        ValueError: the name holds a line break, the type is not `type/subtype` or is of a message, or
            one of them is too long.
    """
    validate_column("attachments: file name", name, EmailAttachment, "name")
    if LINE_BREAK.search(name):
        raise ValueError(f"attachments: the file name {name!r} holds a line break")
    if not isinstance(content, bytes):
        raise TypeError(f"attachments: {name}: {type(content).__name__} given: pass bytes")
    validate_column("attachments: content type", content_type, EmailAttachment, "content_type")
    if not CONTENT_TYPE.fullmatch(content_type):
        raise ValueError(f"attachments: {name}: {content_type!r} is not type/subtype")
    if COMPOSITE_TYPE.match(content_type):
        raise ValueError(
            f"attachments: {name}: {content_type} is not the type of a file: use application/octet-stream"
        )
    return EmailAttachment(name=name, content=content, content_type=content_type)
