"""Models for calendars, their slots, and bookings."""

import uuid
from datetime import date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format

SLOT_TAKEN = "This slot is already booked."
SLOT_STARTED = "This slot has already started."


class Calendar(models.Model):
    """Something that can be booked, such as a room, with an owner."""

    name = models.CharField(max_length=100)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="calendars"
    )

    class Meta:
        ordering = ("name",)
        # Not `unique=True` on the field: on PostgreSQL that creates a second index, for LIKE.
        constraints = [models.UniqueConstraint(fields=["name"], name="bookings_calendar_by_name")]

    def __str__(self) -> str:
        return self.name


class SlotQuerySet(models.QuerySet["Slot"]):
    def free(self) -> "SlotQuerySet":
        """Return future slots without a booking."""
        booked = Booking.objects.filter(slot=OuterRef("pk"), canceled_at=None)
        return self.filter(~Exists(booked), starts_at__gt=Now())


class Slot(models.Model):
    """A period that one user can book."""

    calendar = models.ForeignKey(
        Calendar,
        on_delete=models.CASCADE,
        related_name="slots",
        db_index=False,  # bookings_one_slot_per_start begins with it
    )
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()

    objects = SlotQuerySet.as_manager()

    class Meta:
        ordering = ("starts_at", "pk")
        constraints = [
            models.CheckConstraint(
                condition=Q(ends_at__gt=models.F("starts_at")),
                name="bookings_slot_ends_after_start",
                violation_error_message="A slot must end after it starts.",
            ),
            models.UniqueConstraint(
                fields=["calendar", "starts_at"], name="bookings_one_slot_per_start"
            ),
        ]
        # For the list of free slots and for the reminders, over all calendars.
        indexes = [models.Index(fields=["starts_at", "id"], name="bookings_slot_by_start")]

    def __str__(self) -> str:
        return f"{self.calendar}, {self.when}"

    def get_absolute_url(self) -> str:
        """Return the path of its page."""
        return reverse("bookings:slot", args=[self.pk])

    def clean(self) -> None:
        """Reject moving a booked slot, since no email would report it to the customer."""
        if self.pk and self.bookings.filter(canceled_at=None).exists():
            saved = Slot.objects.get(pk=self.pk)
            before = (saved.calendar_id, saved.starts_at, saved.ends_at)
            if before != (self.calendar_id, self.starts_at, self.ends_at):
                raise ValidationError("This slot is booked: cancel its booking before you move it.")

    @property
    def day(self) -> date:
        """The day of its start, in the time zone of the service."""
        return timezone.localdate(self.starts_at)

    @property
    def when(self) -> str:
        """Start and end, in the time zone of the service."""
        start, end = timezone.localtime(self.starts_at), timezone.localtime(self.ends_at)
        until = "H:i T" if start.date() == end.date() else "DATETIME_FORMAT"
        return f"{date_format(start, 'j F Y, H:i')} to {date_format(end, until)}"

    @property
    def has_started(self) -> bool:
        """Whether it is too late to book or cancel it."""
        return self.starts_at <= timezone.now()


class BookingQuerySet(models.QuerySet["Booking"]):
    def due(self, before: datetime) -> "BookingQuerySet":
        """Return bookings without a reminder that start between now and `before`."""
        waiting = self.filter(canceled_at=None, reminded_at=None)
        return waiting.filter(slot__starts_at__gt=Now(), slot__starts_at__lt=before)


class Booking(models.Model):
    """One slot for one user. Saving a new one sends emails: see apps/bookings/receivers.py."""

    # Callers may choose it, so that a second call creates no second booking.
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    slot = models.ForeignKey(Slot, on_delete=models.PROTECT, related_name="bookings")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="bookings"
    )
    note = models.CharField(
        max_length=200, blank=True, help_text="A note for the owner of the calendar."
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    canceled_at = models.DateTimeField(null=True, blank=True, editable=False)
    reminded_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = BookingQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at", "-pk")
        constraints = [
            # Only the database can prevent two simultaneous bookings.
            models.UniqueConstraint(
                fields=["slot"],
                condition=Q(canceled_at__isnull=True),
                name="bookings_one_per_slot",
            )
        ]
        indexes = [
            # For the reminders.
            models.Index(
                fields=["slot"],
                name="bookings_not_reminded",
                condition=Q(canceled_at__isnull=True, reminded_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.slot} ({self.user})"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save the booking together with its emails: Django calls receivers after its own commit."""
        with transaction.atomic():
            super().save(*args, **kwargs)

    def get_absolute_url(self) -> str:
        """Return the path of its page, for customer and owner."""
        return reverse("bookings:booking", args=[self.pk])

    def clean(self) -> None:
        """Reject slots that have started or are booked. Forms lack fields that the constraint needs."""
        if self._state.adding and self.slot_id:
            if self.slot.has_started:
                raise ValidationError({"slot": SLOT_STARTED})
            if self.slot.bookings.filter(canceled_at=None).exists():
                raise ValidationError({"slot": SLOT_TAKEN})

    @property
    def can_be_canceled(self) -> bool:
        """Whether it is neither canceled nor started."""
        return self.canceled_at is None and not self.slot.has_started


def end_of_tomorrow() -> datetime:
    """Return the midnight after tomorrow, in the time zone of the service."""
    day = timezone.localdate() + timedelta(days=2)
    return timezone.make_aware(datetime(day.year, day.month, day.day))  # noqa: DTZ001 - made aware
