"""Mails, their events and attachments, and suppressed addresses."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import models, transaction
from django.db.models import Q

from durable import tracing
from durable.db import FromNow, update
from durable.leases import LeasedQuerySet, LeasedRow
from durable.mail.addresses import bare_address
from durable.text import clean_text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta

ADDRESS_SUPPRESSED = "The address is suppressed."
CRASHED = "The worker ended without an outcome."
LEASE_ENDED = "The lease had ended: another worker may have sent the mail too."


class EmailQuerySet(LeasedQuerySet["Email"]):
    """Queries for mails."""

    def cancel(self) -> int:
        """Cancel those that no worker has started to send, as `Email.cancel`; return how many."""
        queued = self.filter(status=Email.Status.QUEUED).order_by("pk")
        with transaction.atomic():
            pks = list(queued.select_for_update().values_list("pk", flat=True))
            Email.objects.filter(pk__in=pks).update(status=Email.Status.CANCELED)
            EmailEvent.objects.bulk_create(
                EmailEvent(email_id=pk, kind=EmailEvent.Kind.CANCELED) for pk in pks
            )
        return len(pks)


class Email(LeasedRow):
    """One mail to one recipient.

    Its methods change its state, and each change leaves an event in the same transaction.
    """

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
    UNFINISHED = (Status.QUEUED, Status.SENDING)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    key = models.CharField(  # noqa: DJ001 - unique, so only one row could have ""
        max_length=255, null=True, blank=True, help_text="The caller's name for the mail."
    )
    template = models.CharField(max_length=100)
    to = models.CharField(max_length=320)
    context = models.JSONField(default=dict, blank=True)
    from_email = models.CharField(max_length=320, blank=True)
    reply_to = models.JSONField(default=list, blank=True)
    headers = models.JSONField(default=dict, blank=True)
    status = models.CharField(max_length=20, choices=Status, default=Status.QUEUED)
    provider = models.CharField(
        max_length=50, blank=True, help_text="Of the last attempt: the module of its backend."
    )
    message_id = models.CharField(max_length=255, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    correlation_id = models.CharField(max_length=100, blank=True)
    traceparent = models.CharField(max_length=tracing.MAX_LENGTH, blank=True, editable=False)
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

    objects: ClassVar[EmailQuerySet] = EmailQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        # Not with the field, for which PostgreSQL would get a second index for LIKE.
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
                fields=["correlation_id", "-queued_at"],
                name="email_by_correlation_id",
                condition=~Q(correlation_id=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.template} to {self.to}"

    @property
    def address(self) -> str:
        """The recipient's bare address in lower case, as in `Suppression`."""
        return bare_address(self.to)

    @property
    def is_suppressed(self) -> bool:
        """Whether the address is suppressed now."""
        return bool(Suppression.objects.among([self.address]))

    def mark_sent(self, message_id: str) -> bool:
        """Write that the provider has accepted the mail; see `end_attempt`.

        Args:
            message_id: the provider's id of the mail, by which its reports name it.
        """
        message_id = clean_text(message_id)[: Email._meta.get_field("message_id").max_length]
        return self.end_attempt(
            self.Status.SENT, EmailEvent.Kind.SENT, message_id=message_id, sent_at=FromNow()
        )

    def mark_retrying(self, reason: str, delay: timedelta) -> bool:
        """Queue the mail for its next attempt; see `end_attempt`."""
        queued, kind = self.Status.QUEUED, EmailEvent.Kind.RETRYING
        return self.end_attempt(queued, kind, reason, next_attempt_at=FromNow(delay))

    def mark_failed(self, reason: str) -> bool:
        """Write that the mail will not be sent; see `end_attempt`."""
        return self.end_attempt(self.Status.FAILED, EmailEvent.Kind.FAILED, reason)

    def mark_suppressed(self) -> bool:
        """Write that the address has been suppressed since the mail was queued; see `end_attempt`."""
        suppressed, kind = self.Status.SUPPRESSED, EmailEvent.Kind.SUPPRESSED
        return self.end_attempt(suppressed, kind, ADDRESS_SUPPRESSED)

    def end_attempt(
        self, status: Status, kind: EmailEvent.Kind, detail: str = "", **values: Any
    ) -> bool:
        """Write the outcome of the attempt, and its event.

        Returns:
            False, with only the event written, if the lease ended and another worker has claimed
            the row.
        """
        with transaction.atomic():
            held = self.finish(status=status, last_error=detail, **values)
            detail = detail if held else f"{detail} {LEASE_ENDED}".strip()
            self.events.create(kind=kind, attempt=self.attempts, detail=detail)
        return held

    def record_crash(self) -> None:
        """Leave an event for the previous attempt, whose worker could not."""
        self.events.create(kind=EmailEvent.Kind.CRASHED, attempt=self.attempts - 1, detail=CRASHED)

    def cancel(self) -> bool:
        """Cancel the mail if no worker has started to send it; return whether it is canceled."""
        queued = {"id": self.pk, "status": self.Status.QUEUED}
        with transaction.atomic():
            if not update(Email, queued, {"status": self.Status.CANCELED}):
                return False
            self.events.create(kind=EmailEvent.Kind.CANCELED)
        return True

    def apply_report(self, report_id: str, kind: EmailEvent.Kind, detail: str) -> bool:
        """Record a provider's report, and change the status if it replaces the current one.

        Args:
            report_id: identifies the report.
            kind: what the provider reports.
            detail: for people.

        Returns:
            False, with nothing written, for a report that has been recorded before.
        """
        with transaction.atomic():
            _event, new = EmailEvent.objects.get_or_create(
                provider_report=report_id,
                defaults={"email": self, "kind": kind, "detail": detail},
            )
            if new and kind in REPLACES:
                rows = Email.objects.filter(pk=self.pk, status__in=REPLACES[kind])
                rows.update(status=kind)
        return new


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
        RETRYING = "retrying", "retrying"
        FAILED = "failed", "failed"
        CRASHED = "crashed", "worker crashed"
        SUPPRESSED = "suppressed", "suppressed"
        CANCELED = "canceled", "canceled"
        RESENT = "resent", "resent"
        DELIVERED = "delivered", "delivered"
        BOUNCED = "bounced", "bounced"
        COMPLAINED = "complained", "complained"

    email = models.ForeignKey(Email, on_delete=models.CASCADE, related_name="events")
    kind = models.CharField(max_length=20, choices=Kind)
    attempt = models.PositiveIntegerField(null=True, blank=True)
    detail = models.TextField(blank=True)
    happened_at = models.DateTimeField(auto_now_add=True)
    provider_report = models.CharField(  # noqa: DJ001 - unique, so only one row could have ""
        max_length=64,
        null=True,
        blank=True,
        editable=False,
        help_text="Identifies a provider's report, which counts once.",
    )

    class Meta:
        ordering = ("happened_at", "id")
        constraints = [
            models.UniqueConstraint(fields=["provider_report"], name="email_event_by_report")
        ]

    def __str__(self) -> str:
        return self.get_kind_display()


# Reports may come late or out of order: the statuses that a report may replace.
REPLACES = {
    EmailEvent.Kind.DELIVERED: (Email.Status.SENT,),
    EmailEvent.Kind.FAILED: (Email.Status.SENT,),
    EmailEvent.Kind.BOUNCED: (Email.Status.SENT, Email.Status.DELIVERED, Email.Status.FAILED),
    EmailEvent.Kind.COMPLAINED: (Email.Status.SENT, Email.Status.DELIVERED, Email.Status.BOUNCED),
}


class SuppressionQuerySet(models.QuerySet["Suppression"]):
    """Lookups of suppressed addresses."""

    def among(self, addresses: Iterable[str]) -> set[str]:
        """Return those of some bare addresses that are suppressed."""
        found = self.filter(address__in=set(addresses))
        return set(found.values_list("address", flat=True))


class Suppression(models.Model):
    """An address that gets no mail."""

    class Reason(models.TextChoices):
        BOUNCE = "bounce", "hard bounce"
        COMPLAINT = "complaint", "complaint"
        MANUAL = "manual", "manual"

    address = models.CharField(max_length=320, help_text="In lower case.")
    reason = models.CharField(max_length=20, choices=Reason, default=Reason.MANUAL)
    detail = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[SuppressionQuerySet] = SuppressionQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ("address",)
        constraints = [models.UniqueConstraint(fields=["address"], name="suppression_by_address")]

    def __str__(self) -> str:
        return self.address

    def save(self, *args: object, **kwargs: object) -> None:
        """Store the address as it is looked up."""
        self.address = bare_address(self.address)
        super().save(*args, **kwargs)  # type: ignore[arg-type]

    def clean(self) -> None:
        """Refuse an invalid address: no recipient would match it."""
        self.address = bare_address(self.address)
        try:
            validate_email(self.address)
        except ValidationError as error:
            raise ValidationError({"address": error.messages}) from None
