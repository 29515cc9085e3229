"""Calendars and their slots, for the staff to keep, and bookings, for them to make and to cancel."""

from typing import Any

from django.contrib import admin, messages
from django.db import IntegrityError
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from apps.bookings import services
from apps.bookings.models import TAKEN, Booking, Calendar, Slot


class SlotInline(admin.TabularInline):
    """The slots of a calendar that are still to come."""

    model = Slot
    extra = 1

    def get_queryset(self, request: HttpRequest) -> QuerySet[Slot]:
        """Leave out what is over, or the page would grow for ever."""
        return super().get_queryset(request).filter(ends_at__gt=Now())


@admin.register(Calendar)
class CalendarAdmin(admin.ModelAdmin):
    """Calendars."""

    list_display = ("name", "owner")
    list_select_related = ("owner",)
    search_fields = ("name", "owner__email")
    autocomplete_fields = ("owner",)
    inlines = (SlotInline,)


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
