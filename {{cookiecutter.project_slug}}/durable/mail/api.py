"""What the rest of the service calls: send_email and send_emails, and what an operator may do."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from celery.utils.functional import chunks
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.core.mail.message import sanitize_address
from django.core.serializers.json import DjangoJSONEncoder
from django.core.validators import validate_email
from django.db import models, transaction

from durable.conf import conf
from durable.correlation import correlation_id
from durable.mail.models import Email, EmailAttachment, EmailEvent, Suppression, bare_address
from durable.mail.rendering import check_templates
from durable.mail.tasks import deliver_batch, deliver_email

Attachment = tuple[str, bytes, str]
ROWS_AT_ONCE = 500  # rows inserted in one statement, and ids in one message to the broker


def send_email(
    template: str,
    to: str,
    context: Mapping[str, Any] | None = None,
    *,
    key: str | None = None,
    related: models.Model | None = None,
    from_email: str | None = None,
    reply_to: Sequence[str] | str | None = None,
    headers: Mapping[str, str] | None = None,
    attachments: Iterable[Attachment] = (),
) -> Email:
    """Queue a mail in the transaction that is open; a worker delivers it after the commit.

    Args:
        template: `welcome` stands for templates/mail/welcome.subject.txt, .txt and .html.
        to: one address, with or without a name: `Name <name@example.com>`.
        context: what the templates need; JSON only, so pass ids and texts, not model instances.
        key: your own name for this mail. A second call with the same key returns the same row
            and sends nothing.
        related: the object that the mail is about.
        from_email: instead of DEFAULT_FROM_EMAIL.
        reply_to: one address or several.
        headers: further headers of the message.
        attachments: triples of file name, content in bytes, and content type.

    Returns:
        the row. Its status is `suppressed` if the address must not be written to.

    Raises:
        TemplateDoesNotExist: one of the three files is missing.
        ValueError: an address is invalid, or the attachments are too large.
        TypeError: the context or the headers cannot be kept as JSON.
    """
    check_templates(template)
    email = new_email(template, to, context, key)
    email.from_email = validate_address("from_email", from_email) if from_email else ""
    replies = [reply_to] if isinstance(reply_to, str) else reply_to or []
    email.reply_to = [validate_address("reply_to", address) for address in replies]
    email.headers = validate_headers(headers or {})
    if related is not None:
        email.related_type = ContentType.objects.get_for_model(related)
        email.related_id = str(related.pk)
    files = validate_attachments(email, attachments)

    with transaction.atomic():
        if key is None:
            email.save(force_insert=True)
        else:
            Email.objects.bulk_create([email], ignore_conflicts=True)
            kept = Email.objects.get(key=key)
            if kept.pk != email.pk:
                return kept
            email = kept
        EmailAttachment.objects.bulk_create(files)
        if not suppress([email]):
            deliver_email.delay_on_commit(str(email.pk))
    return email


def send_emails(
    template: str, messages: Iterable[tuple[str, Mapping[str, Any] | None, str | None]]
) -> int:
    """Queue many mails of one template, a few statements and messages for hundreds of them.

    Args:
        template: as for `send_email`.
        messages: triples of address, context and key (None for no key). A key that is known
            already, or that comes twice, is sent once.

    Returns:
        how many rows are new.

    Raises:
        as `send_email`; then none of the mails is queued.
    """
    check_templates(template)
    count = 0
    with transaction.atomic():
        for chunk in chunks(iter(messages), ROWS_AT_ONCE):
            rows = [new_email(template, to, context, key) for to, context, key in chunk]
            Email.objects.bulk_create(rows, ignore_conflicts=True)
            new = list(Email.objects.filter(pk__in=[row.pk for row in rows]))
            suppressed = {email.pk for email in suppress(new)}
            ids = [str(email.pk) for email in new if email.pk not in suppressed]
            if ids:
                deliver_batch.delay_on_commit(ids)
            count += len(new)
    return count


def resend(email: Email) -> Email:
    """Queue a copy of a mail whose story has ended, whatever the end; the original stays as it is.

    Raises:
        ValueError: the mail is still under way.
    """
    email.refresh_from_db()
    if email.status in Email.UNDER_WAY:
        raise ValueError(f"{email} is still under way ({email.status}): it needs no copy")
    with transaction.atomic():
        copy = Email.objects.create(
            template=email.template,
            to=email.to,
            context=email.context,
            from_email=email.from_email,
            reply_to=email.reply_to,
            headers=email.headers,
            related_type=email.related_type,
            related_id=email.related_id,
            correlation_id=correlation_id(),
            resend_of=email,
        )
        EmailAttachment.objects.bulk_create(
            EmailAttachment(
                email=copy, name=file.name, content_type=file.content_type, content=file.content
            )
            for file in email.attachments.all()
        )
        email.events.create(kind=EmailEvent.Kind.COPIED, detail=f"as {copy.pk}")
        if not suppress([copy]):
            deliver_email.delay_on_commit(str(copy.pk))
    return copy


def cancel(email: Email) -> bool:
    """Take back a mail that no worker has begun; return whether that came in time."""
    with transaction.atomic():
        waiting = Email.objects.filter(pk=email.pk, status=Email.Status.QUEUED)
        if not waiting.update(status=Email.Status.CANCELED):
            return False
        email.events.create(kind=EmailEvent.Kind.CANCELED)
    return True


def new_email(template: str, to: str, context: Mapping[str, Any] | None, key: str | None) -> Email:
    """Return a row, not saved yet, from what the caller gave."""
    if not isinstance(to, str):
        raise TypeError("to: one address as a string; for several recipients use send_emails")
    if key == "":
        raise ValueError('key: "" names no mail; leave it out for a mail without a key')
    return Email(
        template=template,
        to=validate_address("to", to),
        context=validate_json("context", context or {}),
        key=key,
        correlation_id=correlation_id(),
    )


def suppress(emails: Sequence[Email]) -> list[Email]:
    """Mark those whose address must not be written to, and return them."""
    addresses = {email.address for email in emails}
    listed = set(
        Suppression.objects.filter(address__in=addresses).values_list("address", flat=True)
    )
    hit = [email for email in emails if email.address in listed]
    for email in hit:
        email.status = Email.Status.SUPPRESSED
        email.events.create(kind=EmailEvent.Kind.SUPPRESSED, detail="The address is suppressed.")
    Email.objects.bulk_update(hit, ["status"])
    return hit


def validate_address(argument: str, address: str) -> str:
    """Return `address`, or raise ValueError if no mail could go there, or not to it alone."""
    try:
        validate_email(bare_address(address))
        sanitize_address(address.strip(), "utf-8")  # what the backend does to it
    except (ValidationError, ValueError):
        raise ValueError(f"{argument}: {address!r} is not an email address") from None
    if "\n" in address or "\r" in address:
        raise ValueError(f"{argument}: {address!r} holds a line break")
    return address.strip()


def validate_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers, or raise if one could smuggle in another."""
    for name, value in headers.items():
        if not isinstance(value, str):
            raise TypeError(f"headers: {name} is {type(value).__name__}, not a string")
        if any(line_break in name + value for line_break in "\r\n"):
            raise ValueError(f"headers: {name!r} holds a line break")
    return dict(headers)


def validate_json(argument: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """Return `value` as JSON gives it back; dates, decimals and UUIDs become strings."""
    try:
        kept: dict[str, Any] = json.loads(json.dumps(dict(value), cls=DjangoJSONEncoder))
    except TypeError as error:
        raise TypeError(
            f"{argument}: {error}: pass ids, texts and numbers, and load the rest when rendering"
        ) from None
    return kept


def validate_attachments(email: Email, attachments: Iterable[Attachment]) -> list[EmailAttachment]:
    """Return the rows of the attachments, or raise ValueError if they are too large together."""
    files = [
        EmailAttachment(email=email, name=name, content=content, content_type=content_type)
        for name, content, content_type in attachments
    ]
    size, largest = sum(len(file.content) for file in files), conf.EMAIL_MAX_ATTACHMENTS_SIZE
    if size > largest:
        raise ValueError(
            f"attachments: {size:,} bytes together, and {largest:,} are allowed: send a link instead"
        )
    return files
