"""The home page and the icon."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.templatetags.static import static

from durable.api import Email, FailedTask, __version__, check_all

MAX_COUNTED = 1_000  # failed tasks; the table may hold millions


def home(request: HttpRequest) -> HttpResponse:
    """Show the features of the service and, to staff or in development, its status."""
    context: dict[str, object] = {}
    if settings.DEBUG or getattr(request.user, "is_staff", False):
        checks = check_all()
        context = {
            "checks": checks,
            "template_version": __version__,
            "healthy": all(check.ok for check in checks),
            "emails": Email.objects.order_by("-queued_at")[:5],
            "failed_tasks": count_failed_tasks(),
        }
    return render(request, "pages/home.html", context)


def count_failed_tasks() -> str:
    """Return the number of failed tasks; counting stops at MAX_COUNTED, whose cost nobody notices."""
    count = FailedTask.objects.order_by()[: MAX_COUNTED + 1].count()
    return f"{MAX_COUNTED:,}+" if count > MAX_COUNTED else f"{count:,}"


def icon(request: HttpRequest) -> HttpResponse:
    """Redirect to the icon: browsers request this path for pages that link no icon, such as the admin."""
    return redirect(static("pages/icon.svg"))
