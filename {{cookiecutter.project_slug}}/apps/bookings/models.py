"""Calendars, the slots in them, and who booked those."""

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

TAKEN = "This slot is taken."
BEGUN = "This slot has begun already."


class Calendar(models.Model):
    """Something that can be booked, such as a room, and who looks after it."""

    name = models.CharField(max_length=100)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="calendars"
    )

    class Meta:
        ordering = ("name",)
        # Here and not with the field, for which PostgreSQL gets a second index, for LIKE.
        constraints = [models.UniqueConstraint(fields=["name"], name="bookings_calendar_by_name")]

    def __str__(self) -> str:
        return self.name


class SlotQuerySet(models.QuerySet["Slot"]):
    """What is asked about slots."""

    def free(self) -> "SlotQuerySet":
        """Keep those that are still to come and that nobody has booked."""
        booked = Booking.objects.filter(slot=OuterRef("pk"), canceled_at=None)
        return self.filter(~Exists(booked), starts_at__gt=Now())


class Slot(models.Model):
    """A time that one user can book."""

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
                violation_error_message="A slot has to end after it starts.",
            ),
            models.UniqueConstraint(
                fields=["calendar", "starts_at"], name="bookings_one_slot_per_start"
            ),
        ]
        # For the list of free slots and for the reminders, which look at all calendars.
        indexes = [models.Index(fields=["starts_at", "id"], name="bookings_slot_by_start")]

    def __str__(self) -> str:
        return f"{self.calendar}, {self.when}"

    def get_absolute_url(self) -> str:
        """Return where it can be booked."""
        return reverse("bookings:slot", args=[self.pk])

    def clean(self) -> None:
        """Refuse to move what is booked: nobody would tell the customer."""
        if self.pk and self.bookings.filter(canceled_at=None).exists():
            kept = Slot.objects.get(pk=self.pk)
            before = (kept.calendar_id, kept.starts_at, kept.ends_at)
            if before != (self.calendar_id, self.starts_at, self.ends_at):
                raise ValidationError("This slot is booked: cancel its booking before you move it.")

    @property
    def day(self) -> date:
        """The day on which it starts, in the time zone of the service."""
        return timezone.localdate(self.starts_at)

    @property
    def when(self) -> str:
        """Start and end, in the time zone of the service."""
        start, end = timezone.localtime(self.starts_at), timezone.localtime(self.ends_at)
        until = "H:i T" if start.date() == end.date() else "D j F Y, H:i T"
        return f"{date_format(start, 'D j F Y, H:i')} to {date_format(end, until)}"

    @property
    def has_begun(self) -> bool:
        """Whether it is too late to book it, or to cancel."""
        return self.starts_at <= timezone.now()


class BookingQuerySet(models.QuerySet["Booking"]):
    """What is asked about bookings."""

    def due(self, before: datetime) -> "BookingQuerySet":
        """Keep those that nobody was reminded of and that begin before a time, but not yet."""
        waiting = self.filter(canceled_at=None, reminded_at=None)
        return waiting.filter(slot__starts_at__gt=Now(), slot__starts_at__lt=before)


class Booking(models.Model):
    """One slot for one user. Saving a new one has effects: see apps/bookings/effects.py."""

    # May be drawn by who books, so that booking twice is booking once.
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    slot = models.ForeignKey(Slot, on_delete=models.PROTECT, related_name="bookings")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="bookings"
    )
    note = models.CharField(
        max_length=200, blank=True, help_text="What the owner of the calendar should know."
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    canceled_at = models.DateTimeField(null=True, blank=True, editable=False)
    reminded_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = BookingQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at", "-pk")
        constraints = [
            # Only the database sees two who book at the same moment.
            models.UniqueConstraint(
                fields=["slot"],
                condition=Q(canceled_at__isnull=True),
                name="bookings_one_per_slot",
            )
        ]
        indexes = [
            # For the reminders, which look at nothing else.
            models.Index(
                fields=["slot"],
                name="bookings_not_reminded",
                condition=Q(canceled_at__isnull=True, reminded_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.slot} ({self.user})"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save the booking and its effects, or nothing: Django calls receivers after its commit."""
        with transaction.atomic():
            super().save(*args, **kwargs)

    def get_absolute_url(self) -> str:
        """Return where the customer and the owner see it."""
        return reverse("bookings:booking", args=[self.pk])

    def clean(self) -> None:
        """Refuse a slot that has begun, or that is taken: no form sees all that the constraint needs."""
        if self._state.adding and self.slot_id:
            if self.slot.has_begun:
                raise ValidationError({"slot": BEGUN})
            if self.slot.bookings.filter(canceled_at=None).exists():
                raise ValidationError({"slot": TAKEN})

    @property
    def can_be_canceled(self) -> bool:
        """Whether it is not canceled yet, nor begun."""
        return self.canceled_at is None and not self.slot.has_begun


def end_of_tomorrow() -> datetime:
    """Return the midnight after the next day, in the time zone of the service."""
    day = timezone.localdate() + timedelta(days=2)
    return timezone.make_aware(datetime(day.year, day.month, day.day))  # noqa: DTZ001 - made aware
