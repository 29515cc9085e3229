"""Dead letters in the admin: what failed for good, and what to do about it. And what is periodic."""

import json
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.views.decorators.http import require_POST
from django_celery_beat.admin import PeriodicTaskAdmin as BeatPeriodicTaskAdmin
from django_celery_beat.models import PeriodicTask

from durable.tasks import failures
from durable.tasks.models import FailedTask
from durable.tasks.tasks import delete_in_slices


@admin.register(FailedTask)
class FailedTaskAdmin(admin.ModelAdmin):
    """Tasks that have failed for good: to read, to run again, or to discard."""

    list_display = ("name", "last_error", "queue", "attempts", "finished_at", "again")
    list_filter = ("name", "error_type", "queue", "finished_at")
    list_select_related = ("copy",)
    search_fields = ("=id", "name", "last_error", "=correlation_id")
    ordering = ("-finished_at",)
    show_full_result_count = False  # counting a large table costs more than the page
    actions = ("run_again", "discard")
    fields = (
        "name",
        "last_error",
        ("first_failed_at", "finished_at"),
        ("queue", "worker"),
        ("attempts", "losses"),
        "arguments",
        "traceback_text",
        "id",
        "correlation_id",
        ("copy_of", "again"),
    )
    readonly_fields = (
        "name",
        "last_error",
        "first_failed_at",
        "finished_at",
        "queue",
        "worker",
        "attempts",
        "losses",
        "arguments",
        "traceback_text",
        "id",
        "correlation_id",
        "copy_of",
        "again",
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def get_actions(self, request: HttpRequest) -> Any:
        """Leave out Django's own deletion, which asks about each row."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def get_urls(self) -> list[URLPattern]:
        """Add the button."""
        view = self.admin_site.admin_view(require_POST(self.run_again_view))
        return [
            path("<uuid:pk>/run-again/", view, name="tasks_failedtask_run_again"),
            *super().get_urls(),
        ]

    @admin.display(description="arguments")
    def arguments(self, failed: FailedTask) -> str:
        return format_html("<pre>{}</pre>", json.dumps(failed.shown_arguments, indent=2))

    @admin.display(description="traceback")
    def traceback_text(self, failed: FailedTask) -> str:
        return format_html("<pre>{}</pre>", failed.traceback)

    @admin.display(description="run again as")
    def again(self, failed: FailedTask) -> str:
        copy = getattr(failed, "copy", None)
        if copy is None:
            return ""
        if copy.status != copy.Status.FAILED:
            return f"{copy.status}: {copy.pk}"
        link = reverse("admin:tasks_failedtask_change", args=[copy.pk])
        return format_html('<a href="{}">failed: {}</a>', link, copy.pk)

    def run_again_view(self, request: HttpRequest, pk: str) -> HttpResponse:
        """The button: run it again, and say so."""
        failed = get_object_or_404(FailedTask, pk=pk)
        if not self.has_change_permission(request, failed):
            return HttpResponse(status=403)
        try:
            run = failures.run_again(failed)
        except ValueError as error:
            self.message_user(request, str(error), messages.ERROR)
        else:
            self.message_user(request, f"Run again as {run.pk}: {run.status}.", messages.SUCCESS)
        return redirect("admin:tasks_failedtask_change", failed.pk)

    @admin.action(description="Run again", permissions=["change"])
    def run_again(self, request: HttpRequest, chosen: QuerySet[FailedTask]) -> None:
        """The list's action: run all that can run again, and say what cannot."""
        count = 0
        for failed in chosen.defer("traceback").iterator():
            try:
                failures.run_again(failed)
                count += 1
            except ValueError as error:
                self.message_user(request, str(error), messages.WARNING)
        self.message_user(request, f"{count} of {chosen.count()} run again.")

    @admin.action(description="Discard", permissions=["delete"])
    def discard(self, request: HttpRequest, chosen: QuerySet[FailedTask]) -> None:
        """The list's action: forget what nobody needs any more."""
        self.message_user(request, f"{sum(delete_in_slices(chosen))} discarded.")


admin.site.unregister(PeriodicTask)


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(BeatPeriodicTaskAdmin):  # type: ignore[misc]
    """Beat's own, without the script in its page: the Content-Security-Policy lets none run there."""

    change_form_template = None

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Leave out what changes or runs an entry for who may only look; Beat's own asks nobody."""
        actions: dict[str, Any] = super().get_actions(request)
        if self.has_change_permission(request):
            return actions
        return {name: action for name, action in actions.items() if name == "delete_selected"}
