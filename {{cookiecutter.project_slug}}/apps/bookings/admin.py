"""Calendars, slots and bookings in the admin."""

from typing import Any

from django.contrib import admin, messages
from django.db import IntegrityError
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from apps.bookings import services
from apps.bookings.models import SLOT_TAKEN, Booking, Calendar, Slot


class SlotInline(admin.TabularInline):
    """Adds slots to a calendar."""

    model = Slot
    extra = 1
    verbose_name_plural = "new slots"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Slot]:
        """Omit existing slots: with many of them, the form would exceed Django's limit of 1,000 fields."""
        return super().get_queryset(request).none()


@admin.register(Calendar)
class CalendarAdmin(admin.ModelAdmin):
    """Calendars."""

    list_display = ("name", "owner")
    list_select_related = ("owner",)
    search_fields = ("name", "owner__email")
    autocomplete_fields = ("owner",)
    fields = ("name", "owner", "upcoming_slots")
    readonly_fields = ("upcoming_slots",)
    inlines = (SlotInline,)

    @admin.display(description="upcoming slots")
    def upcoming_slots(self, calendar: Calendar) -> str:
        """Link to the list of slots, where they can be changed."""
        query = {"calendar__id__exact": calendar.pk, "starts_at__gte": timezone.now()}
        url = reverse("admin:bookings_slot_changelist", query=query)
        count = calendar.slots.filter(starts_at__gte=Now()).count() if calendar.pk else 0
        return format_html('<a href="{}">{}</a>', url, count) if count else "none"


@admin.register(Slot)
class SlotAdmin(admin.ModelAdmin):
    """Slots of all calendars."""

    list_display = ("calendar", "starts_at", "ends_at")
    list_filter = ("calendar", "starts_at")
    list_select_related = ("calendar",)
    search_fields = ("calendar__name",)


@admin.register(Booking)
class BookingAdmin(admin.ModelAdmin):
    """Bookings can be added and canceled, but not edited, since no email would report the change."""

    list_display = ("slot", "user", "created_at", "canceled_at", "reminded_at")
    list_filter = (
        ("canceled_at", admin.EmptyFieldListFilter),
        ("reminded_at", admin.EmptyFieldListFilter),
        "slot__calendar",
        "slot__starts_at",
    )
    list_select_related = ("slot__calendar", "user")
    search_fields = ("user__email", "note")
    autocomplete_fields = ("slot", "user")
    fields = ("slot", "user", "note")
    actions = ("cancel",)

    def has_change_permission(self, request: HttpRequest, obj: Booking | None = None) -> bool:
        """Allow the actions of the list, but not the form of a booking."""
        return obj is None and super().has_change_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: Booking | None = None) -> bool:
        """Allow it once a booking is canceled or past: no email reports a deletion."""
        return not (obj and obj.can_be_canceled) and super().has_delete_permission(request)

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Book a slot. If another booking was faster, only the database notices."""
        try:
            return super().add_view(request, *args, **kwargs)
        except IntegrityError:
            self.message_user(request, SLOT_TAKEN, messages.ERROR)
            return redirect(request.get_full_path())

    @admin.action(description="Cancel", permissions=["change"])
    def cancel(self, request: HttpRequest, bookings: QuerySet[Booking]) -> None:
        """Cancel bookings, with emails to customers and owners."""
        canceled = sum(services.cancel(booking) for booking in bookings)
        self.message_user(request, f"{canceled} canceled.")
