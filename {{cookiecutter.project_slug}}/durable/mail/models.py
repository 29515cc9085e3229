"""Mails, what happened to them, what they carry, and who must not get any."""

from __future__ import annotations

import uuid
from email.utils import parseaddr
from typing import ClassVar

from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import models
from django.db.models import Q

from durable.leases import LeasedQuerySet, LeasedRow


class Email(LeasedRow):
    """One mail to one recipient."""

    class Status(models.TextChoices):
        QUEUED = "queued"
        SENDING = "sending"
        SENT = "sent"
        DELIVERED = "delivered"
        BOUNCED = "bounced"
        COMPLAINED = "complained"
        FAILED = "failed"
        SUPPRESSED = "suppressed"
        CANCELED = "canceled"

    CLAIMED: ClassVar[str] = Status.SENDING
    UNDER_WAY = (Status.QUEUED, Status.SENDING)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    key = models.CharField(  # noqa: DJ001 - unique, so that "" could be only one's
        max_length=255, null=True, blank=True, help_text="The caller's own key."
    )
    template = models.CharField(max_length=100)
    to = models.CharField(max_length=320)
    context = models.JSONField(default=dict, blank=True)
    from_email = models.CharField(max_length=320, blank=True)
    reply_to = models.JSONField(default=list, blank=True)
    headers = models.JSONField(default=dict, blank=True)
    status = models.CharField(max_length=20, choices=Status, default=Status.QUEUED)
    message_id = models.CharField(max_length=255, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    correlation_id = models.CharField(max_length=100, blank=True)
    resend_of = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, blank=True, related_name="resends"
    )
    related_type = models.ForeignKey(
        ContentType,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        db_index=False,  # email_by_related begins with it
    )
    related_id = models.CharField(max_length=64, blank=True)
    related = GenericForeignKey("related_type", "related_id")

    objects: ClassVar[LeasedQuerySet[Email]] = LeasedQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        # Here and not with the fields, for which PostgreSQL gets a second index each, for LIKE.
        constraints = [models.UniqueConstraint(fields=["key"], name="email_by_key")]
        indexes = [
            *LeasedRow.due_indexes("email", "sending"),
            models.Index(fields=["status", "-queued_at"], name="email_by_status"),
            models.Index(fields=["queued_at"], name="email_by_age"),
            models.Index(fields=["related_type", "related_id"], name="email_by_related"),
            models.Index(
                fields=["message_id"], name="email_by_message_id", condition=~Q(message_id="")
            ),
            models.Index(
                fields=["correlation_id"],
                name="email_by_correlation_id",
                condition=~Q(correlation_id=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.template} to {self.to}"

    @property
    def address(self) -> str:
        """The recipient's bare address in lower case, as suppressions are kept."""
        return bare_address(self.to)


class EmailAttachment(models.Model):
    """A file that goes with a mail."""

    email = models.ForeignKey(Email, on_delete=models.CASCADE, related_name="attachments")
    name = models.CharField(max_length=255)
    content_type = models.CharField(max_length=100)
    content = models.BinaryField()

    def __str__(self) -> str:
        return self.name


class EmailEvent(models.Model):
    """Something that happened to a mail: an attempt, a provider's report, an operator's action."""

    class Kind(models.TextChoices):
        SENT = "sent", "accepted by the provider"
        DEFERRED = "deferred", "put off"
        FAILED = "failed"
        LOST = "lost", "lost with its worker"
        SUPPRESSED = "suppressed"
        CANCELED = "canceled"
        COPIED = "copied", "sent again"
        DELIVERED = "delivered"
        BOUNCED = "bounced"
        COMPLAINED = "complained"

    email = models.ForeignKey(Email, on_delete=models.CASCADE, related_name="events")
    kind = models.CharField(max_length=20, choices=Kind)
    attempt = models.PositiveIntegerField(null=True, blank=True)
    detail = models.TextField(blank=True)
    happened_at = models.DateTimeField(auto_now_add=True)
    provider_report = models.CharField(  # noqa: DJ001 - unique, so that "" could be only one's
        max_length=64,
        null=True,
        blank=True,
        editable=False,
        help_text="Tells a provider's report from every other; each counts once.",
    )

    class Meta:
        ordering = ("happened_at", "id")
        constraints = [
            models.UniqueConstraint(fields=["provider_report"], name="email_event_by_report")
        ]

    def __str__(self) -> str:
        return self.get_kind_display()


class Suppression(models.Model):
    """An address that must not be written to."""

    class Reason(models.TextChoices):
        BOUNCE = "bounce", "hard bounce"
        COMPLAINT = "complaint"
        MANUAL = "manual", "by hand"

    address = models.CharField(max_length=320, help_text="Kept in lower case.")
    reason = models.CharField(max_length=20, choices=Reason, default=Reason.MANUAL)
    detail = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("address",)
        constraints = [models.UniqueConstraint(fields=["address"], name="suppression_by_address")]

    def __str__(self) -> str:
        return self.address

    def save(self, *args: object, **kwargs: object) -> None:
        """Keep the address as it is looked up."""
        self.address = bare_address(self.address)
        super().save(*args, **kwargs)  # type: ignore[arg-type]

    def clean(self) -> None:
        """Refuse what is no address: nothing would be looked up by it."""
        self.address = bare_address(self.address)
        try:
            validate_email(self.address)
        except ValidationError as error:
            raise ValidationError({"address": error.messages}) from None


def bare_address(recipient: str) -> str:
    """Return `Name <User@Example.com>` as `user@example.com`."""
    return parseaddr(recipient)[1].strip().lower()
