"""Failed tasks in the admin."""

import json
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.views.decorators.http import require_POST

from durable.requeue import purge
from durable.tasks.failures import replay
from durable.tasks.models import FailedTask


@admin.register(FailedTask)
class FailedTaskAdmin(admin.ModelAdmin):
    """Tasks that failed for good: read, replay or discard them."""

    list_display = ("name", "last_error", "queue", "attempts", "finished_at", "replayed")
    list_filter = ("name", "error_type", "queue", "finished_at")
    list_select_related = ("replayed_as",)
    search_fields = ("=id", "name", "last_error", "=correlation_id")
    ordering = ("-finished_at",)
    show_full_result_count = False  # counting a large table costs more than the page
    actions = ("replay", "discard")
    fields = (
        "name",
        "last_error",
        ("first_failed_at", "finished_at"),
        ("queue", "worker"),
        ("attempts", "crashes"),
        "arguments",
        "traceback_text",
        "id",
        "correlation_id",
        ("replay_of", "replayed"),
    )
    readonly_fields = (
        "name",
        "last_error",
        "first_failed_at",
        "finished_at",
        "queue",
        "worker",
        "attempts",
        "crashes",
        "arguments",
        "traceback_text",
        "id",
        "correlation_id",
        "replay_of",
        "replayed",
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def get_actions(self, request: HttpRequest) -> Any:
        """Remove Django's own deletion, which asks about each row."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def get_urls(self) -> list[URLPattern]:
        """Add the button."""
        view = self.admin_site.admin_view(require_POST(self.replay_view))
        return [
            path("<uuid:pk>/replay/", view, name="tasks_failedtask_replay"),
            *super().get_urls(),
        ]

    @admin.display(description="arguments")
    def arguments(self, failed: FailedTask) -> str:
        return format_html("<pre>{}</pre>", json.dumps(failed.shown_arguments, indent=2))

    @admin.display(description="traceback")
    def traceback_text(self, failed: FailedTask) -> str:
        return format_html("<pre>{}</pre>", failed.traceback)

    @admin.display(description="replayed as")
    def replayed(self, failed: FailedTask) -> str:
        run = getattr(failed, "replayed_as", None)
        if run is None:
            return ""
        if run.status != run.Status.FAILED:
            return f"{run.status}: {run.pk}"
        link = reverse("admin:tasks_failedtask_change", args=[run.pk])
        return format_html('<a href="{}">failed: {}</a>', link, run.pk)

    def replay_view(self, request: HttpRequest, pk: str) -> HttpResponse:
        """Handle the button: replay the task."""
        failed = get_object_or_404(FailedTask, pk=pk)
        if not self.has_change_permission(request, failed):
            return HttpResponse(status=403)
        try:
            run = replay(failed)
        except ValueError as error:
            self.message_user(request, str(error), messages.ERROR)
        else:
            self.message_user(request, f"Replayed as {run.pk}: {run.status}.", messages.SUCCESS)
        return redirect("admin:tasks_failedtask_change", failed.pk)

    @admin.action(description="Replay", permissions=["change"])
    def replay(self, request: HttpRequest, chosen: QuerySet[FailedTask]) -> None:
        """Replay the selected tasks, and report those that cannot be."""
        count = 0
        for failed in chosen.defer("traceback").iterator():
            try:
                replay(failed)
                count += 1
            except ValueError as error:
                self.message_user(request, str(error), messages.WARNING)
        self.message_user(request, f"{count} of {chosen.count()} replayed.")

    @admin.action(description="Discard", permissions=["delete"])
    def discard(self, request: HttpRequest, chosen: QuerySet[FailedTask]) -> None:
        """Delete the selected tasks."""
        self.message_user(request, f"{purge(chosen)} discarded.")
