"""Calendars and their slots, for the staff to keep, and bookings, for them to make and to cancel."""

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
from apps.bookings.models import TAKEN, Booking, Calendar, Slot


class SlotInline(admin.TabularInline):
    """New slots of a calendar."""

    model = Slot
    extra = 1
    verbose_name_plural = "new slots"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Slot]:
        """Leave out what is there: of many slots, no form could be sent (1,000 fields)."""
        return super().get_queryset(request).none()


@admin.register(Calendar)
class CalendarAdmin(admin.ModelAdmin):
    """Calendars."""

    list_display = ("name", "owner")
    list_select_related = ("owner",)
    search_fields = ("name", "owner__email")
    autocomplete_fields = ("owner",)
    fields = ("name", "owner", "to_come")
    readonly_fields = ("to_come",)
    inlines = (SlotInline,)

    @admin.display(description="slots to come")
    def to_come(self, calendar: Calendar) -> str:
        """Lead to the list of slots, where each can be changed."""
        query = {"calendar__id__exact": calendar.pk, "starts_at__gte": timezone.now()}
        address = reverse("admin:bookings_slot_changelist", query=query)
        count = calendar.slots.filter(starts_at__gte=Now()).count() if calendar.pk else 0
        return format_html('<a href="{}">{}</a>', address, count) if count else "none"


@admin.register(Slot)
class SlotAdmin(admin.ModelAdmin):
    """Slots of all calendars."""

    list_display = ("calendar", "starts_at", "ends_at")
    list_filter = ("calendar", "starts_at")
    list_select_related = ("calendar",)
    search_fields = ("calendar__name",)


@admin.register(Booking)
class BookingAdmin(admin.ModelAdmin):
    """Bookings: made and canceled, but not edited, since nobody would be told."""

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
        """Allow the list's actions, and no change of a single booking."""
        return obj is None and super().has_change_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: Booking | None = None) -> bool:
        """Ask to cancel first what is to come: who is deleted is not told."""
        return not (obj and obj.can_be_canceled) and super().has_delete_permission(request)

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Book a slot; the form has not seen who was faster by a moment, but the database has."""
        try:
            return super().add_view(request, *args, **kwargs)
        except IntegrityError:
            self.message_user(request, TAKEN, messages.ERROR)
            return redirect(request.get_full_path())

    @admin.action(description="Cancel", permissions=["change"])
    def cancel(self, request: HttpRequest, chosen: QuerySet[Booking]) -> None:
        """Free the slots, and tell customers and owners."""
        canceled = sum(services.cancel(booking) for booking in chosen)
        self.message_user(request, f"{canceled} canceled.")
