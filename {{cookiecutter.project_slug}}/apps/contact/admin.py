"""Messages of visitors in the admin."""

from typing import Any

from django.contrib import admin
from django.db.models import F, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest

from apps.contact.models import Submission


class ReadFilter(admin.SimpleListFilter):
    """Filters by read and unread."""

    title = parameter_name = "read"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("no", "Unread"), ("yes", "Read")]

    def queryset(
        self, request: HttpRequest, submissions: QuerySet[Submission]
    ) -> QuerySet[Submission]:
        if self.value() is None:
            return submissions
        return submissions.filter(read_at__isnull=self.value() == "no")


@admin.register(Submission)
class SubmissionAdmin(admin.ModelAdmin):
    """Messages are not edited, only marked as read or deleted."""

    list_display = ("subject", "name", "email", "created_at", "read_at")
    list_filter = (ReadFilter, "created_at")
    search_fields = ("name", "email", "subject", "message")
    ordering = (F("read_at").desc(nulls_first=True), "-created_at")  # unread ones first
    empty_value_display = "unread"
    actions = ("mark_as_read", "mark_as_unread")
    fields = ("name", "email", "subject", "message", "created_at", "read_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Submission | None = None) -> bool:
        """Allow the actions of the list, but not the form of a message."""
        return obj is None and super().has_change_permission(request)

    @admin.action(description="Mark as read", permissions=["change"])
    def mark_as_read(self, request: HttpRequest, submissions: QuerySet[Submission]) -> None:
        """Set the time; keep an earlier one."""
        marked = submissions.filter(read_at__isnull=True).update(read_at=Now())
        self.message_user(request, f"{marked} marked as read.")

    @admin.action(description="Mark as unread", permissions=["change"])
    def mark_as_unread(self, request: HttpRequest, submissions: QuerySet[Submission]) -> None:
        """Move messages back to the top; unread ones are never deleted."""
        marked = submissions.filter(read_at__isnull=False).update(read_at=None)
        self.message_user(request, f"{marked} marked as unread.")
