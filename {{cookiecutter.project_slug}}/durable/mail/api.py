"""What the service calls: `send_email` and `send_emails`, and `resend` for an operator."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from celery.utils.functional import chunks
from django.contrib.contenttypes.models import ContentType
from django.db import models, transaction

from durable import tracing
from durable.correlation import correlation_id
from durable.mail.addresses import validate_address
from durable.mail.enqueue import enqueue
from durable.mail.models import Email, EmailAttachment, EmailEvent
from durable.mail.tasks import deliver_batch, deliver_email
from durable.mail.validation import (
    Attachment,
    validate_attachments,
    validate_column,
    validate_context,
    validate_headers,
    validate_template,
)

CHUNK_SIZE = 500  # rows inserted in one statement, and ids in one message to the broker


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
    """Queue a mail in the current transaction; a worker delivers it after the commit.

    Args:
        template: `welcome` means templates/mail/welcome.subject.txt, .txt and .html.
        to: one address, with or without a name: `Name <name@example.com>`.
        context: the templates' variables; JSON only, so pass ids and texts, not model instances.
        key: your name for this mail. A second call with the same key returns the same row and
            sends nothing.
        related: the object that the mail is about.
        from_email: instead of DEFAULT_FROM_EMAIL.
        reply_to: one address or several.
        headers: further headers of the message.
        attachments: triples of file name, content in bytes, and content type.

    Returns:
        the row. Its status is `suppressed` if the address is suppressed.

    Raises:
        TemplateDoesNotExist: one of the three files is missing.
        TypeError: an argument has the wrong type, or the context is no JSON.
        ValueError: an address, header or attachment is invalid, an argument is too long or too
            large, or holds what the database cannot hold.
    """
    email = new_email(validate_template(template), to, context, key)
    if from_email:
        email.from_email = validate_email_address("from_email", from_email)
    replies = [reply_to] if isinstance(reply_to, str) else reply_to or []
    email.reply_to = [validate_address("reply_to", address) for address in replies]
    email.headers = validate_headers(headers or {})
    if related is not None:
        email.related_type = ContentType.objects.get_for_model(related)
        email.related_id = validate_column("related", str(related.pk), Email, "related_id")
    return insert_and_publish(email, validate_attachments(attachments))


def send_emails(
    template: str, messages: Iterable[tuple[str, Mapping[str, Any] | None, str | None]]
) -> int:
    """Queue many mails of one template, with a few statements and messages for hundreds of them.

    Args:
        template: as for `send_email`.
        messages: triples of address, context and key (None for no key). A key that has a row
            already, or that comes twice, is sent once.

    Returns:
        how many rows are new.

    Raises:
        as `send_email`; then none of the mails is queued.
    """
    validate_template(template)
    count = 0
    with transaction.atomic():
        for chunk in chunks(iter(messages), CHUNK_SIZE):
            new = enqueue([new_email(template, to, context, key) for to, context, key in chunk])
            publish_on_commit(new)
            count += len(new)
    return count


def resend(email: Email) -> Email:
    """Queue a copy of a finished mail, whatever its outcome; the original stays as it is.

    Raises:
        ValueError: the mail is not finished.
    """
    email.refresh_from_db()
    if email.status in Email.UNFINISHED:
        raise ValueError(f"{email} is still {email.status}: wait for the outcome")
    (copy,) = resend_all(Email.objects.filter(pk=email.pk))
    return copy


def resend_all(emails: models.QuerySet[Email]) -> list[Email]:
    """Queue copies of those mails that are finished, with a few statements for hundreds of them.

    All are queued, or none is: bound their number.
    """
    copies = []
    with transaction.atomic():
        finished = emails.exclude(status__in=Email.UNFINISHED).order_by("queued_at")
        for chunk in chunks(iter(finished), CHUNK_SIZE):
            new = enqueue([new_copy(email) for email in chunk])
            copy_attachments(new)
            EmailEvent.objects.bulk_create(
                EmailEvent(
                    email=copy.resend_of, kind=EmailEvent.Kind.RESENT, detail=f"as {copy.pk}"
                )
                for copy in new
            )
            publish_on_commit(new)
            copies += new
    return copies


def new_copy(email: Email) -> Email:
    """Return the new row of a mail that is sent again, without its attachments."""
    return Email(
        template=email.template,
        to=email.to,
        context=email.context,
        from_email=email.from_email,
        reply_to=email.reply_to,
        headers=email.headers,
        related_type=email.related_type,
        related_id=email.related_id,
        correlation_id=correlation_id(),
        traceparent=tracing.traceparent(),
        resend_of=email,
    )


def copy_attachments(copies: Sequence[Email]) -> None:
    """Insert the attachments of copies one by one: together they may not fit into memory."""
    of_original = {copy.resend_of_id: copy for copy in copies}
    files = EmailAttachment.objects.filter(email__in=of_original)
    for pk in list(files.order_by("pk").values_list("pk", flat=True)):
        file = EmailAttachment.objects.get(pk=pk)
        file.pk, file.email = None, of_original[file.email_id]
        file.save(force_insert=True)


def publish_on_commit(emails: Sequence[Email]) -> None:
    """Publish new mails after the commit, with one message for all of them."""
    ids = [str(email.pk) for email in emails if email.status == Email.Status.QUEUED]
    if len(ids) == 1:
        deliver_email.delay_on_commit(ids[0])
    elif ids:
        deliver_batch.delay_on_commit(ids)


def new_email(template: str, to: str, context: Mapping[str, Any] | None, key: str | None) -> Email:
    """Return a new row, not inserted yet; see `send_email`."""
    if key == "":
        raise ValueError('key: "" is empty: leave it out for a mail without a key')
    if key is not None:
        validate_column("key", key, Email, "key")
    return Email(
        template=template,
        to=validate_email_address("to", to),
        context=validate_context(context or {}),
        key=key,
        correlation_id=correlation_id(),
        traceparent=tracing.traceparent(),
    )


def validate_email_address(column: str, address: str) -> str:
    """Return an address that fits into its column, which has the argument's name."""
    return validate_column(column, validate_address(column, address), Email, column)


def insert_and_publish(email: Email, files: Sequence[EmailAttachment]) -> Email:
    """Insert a new mail with its attachments and publish it, or return the row that has its key."""
    with transaction.atomic():
        if not enqueue([email]):
            return Email.objects.get(key=email.key)
        for file in files:
            file.email = email
        EmailAttachment.objects.bulk_create(files)
        publish_on_commit([email])
    return email
