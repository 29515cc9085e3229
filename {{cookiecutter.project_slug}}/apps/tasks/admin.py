"""Dead letters in the admin."""

from django.contrib import admin
from django.http import HttpRequest

from apps.tasks.models import FailedTask


@admin.register(FailedTask)
class FailedTaskAdmin(admin.ModelAdmin):
    """Tasks that have failed for good, to read."""

    list_display = ("name", "last_error", "queue", "attempts", "finished_at")
    list_filter = ("name", "queue", "finished_at")
    search_fields = ("id", "name", "last_error", "correlation_id")
    ordering = ("-finished_at",)
    fields = (
        "id",
        "name",
        "args",
        "kwargs",
        "queue",
        "worker",
        "attempts",
        "last_error",
        "traceback",
        "correlation_id",
        "finished_at",
    )
    readonly_fields = fields

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: FailedTask | None = None) -> bool:
        return False
