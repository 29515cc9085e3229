"""The home page."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from apps.mail.models import Email
from apps.tasks.health import all_checks
from apps.tasks.models import FailedTask


def home(request: HttpRequest) -> HttpResponse:
    """Show what this service is; to its staff (to all in development) also how it does."""
    context: dict[str, object] = {}
    if settings.DEBUG or getattr(request.user, "is_staff", False):
        checks = all_checks()
        context = {
            "checks": checks,
            "healthy": all(check.ok for check in checks),
            "emails": Email.objects.order_by("-queued_at")[:5],
            "failed_tasks": FailedTask.objects.count(),
        }
    return render(request, "pages/home.html", context)
