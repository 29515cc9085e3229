"""Notifications in the admin."""

from django.contrib import admin
from django.http import HttpRequest

from apps.notifications.models import Notification
from durable.api import LargeTableAdmin


@admin.register(Notification)
class NotificationAdmin(LargeTableAdmin):
    """Read-only notifications. They can be deleted, so that their user can be deleted."""

    list_display = ("title", "user", "kind", "created_at", "read_at")
    list_filter = (("read_at", admin.EmptyFieldListFilter), "created_at")
    list_select_related = ("user",)
    search_fields = ("title", "user__email", "kind__exact")
    empty_value_display = "unread"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Notification | None = None) -> bool:
        return False
