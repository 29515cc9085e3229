"""The home page, and its icon."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.templatetags.static import static

from durable.api import Email, FailedTask, check_all


def home(request: HttpRequest) -> HttpResponse:
    """Show what this service is; to its staff (to all in development) also how it does."""
    context: dict[str, object] = {}
    if settings.DEBUG or getattr(request.user, "is_staff", False):
        checks = check_all()
        context = {
            "checks": checks,
            "healthy": all(check.ok for check in checks),
            "emails": Email.objects.order_by("-queued_at")[:5],
            "failed_tasks": FailedTask.objects.count(),
        }
    return render(request, "pages/home.html", context)


def icon(request: HttpRequest) -> HttpResponse:
    """Lead to the icon: browsers ask here for pages that name none, such as the admin's."""
    return redirect(static("pages/icon.svg"))
