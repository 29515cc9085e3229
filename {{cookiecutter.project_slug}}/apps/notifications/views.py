"""Pages of notifications. Users see and mark only their own."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe
from django_htmx.http import HttpResponseStopPolling, trigger_client_event

from apps.notifications import services
from apps.notifications.models import Notification
from apps.users.decorators import UserRequest, post_after_login

PER_PAGE = 20


def notifications_of(request: UserRequest) -> QuerySet[Notification]:
    return Notification.objects.filter(user=request.user)


@login_required
@require_safe
def notification_list(request: UserRequest) -> HttpResponse:
    """List notifications, newest first."""
    notifications = notifications_of(request)
    page = Paginator(notifications, PER_PAGE).get_page(request.GET.get("page"))
    newest_unread = notifications.filter(read_at__isnull=True).first()
    context = {"page": page, "newest_unread": newest_unread}
    return render(request, "notifications/list.html", context)


@post_after_login(lambda **_: reverse("notifications:list"))
def read(request: UserRequest, pk: int) -> HttpResponse:
    """Mark a notification as read; the button "Open" also redirects to its link."""
    services.mark_read(notifications_of(request).filter(pk=pk))
    notification = get_object_or_404(notifications_of(request), pk=pk)
    if "open" in request.POST and services.is_path(notification.url):
        return redirect(notification.url)
    if request.htmx:
        item = render(request, "notifications/item.html", {"notification": notification})
        return trigger_client_event(item, "notification")
    return redirect("notifications:list")


@post_after_login(lambda **_: reverse("notifications:list"))
def read_all(request: UserRequest) -> HttpResponse:
    """Mark all notifications as read up to the newest one on the page that was shown."""
    try:
        newest = int(request.POST.get("newest", ""))
    except ValueError:
        return HttpResponse("newest: a number is needed", status=400, content_type="text/plain")
    count = services.mark_read(notifications_of(request).filter(pk__lte=newest))
    messages.success(request, f"{count} marked as read.")
    return redirect("notifications:list")


@require_safe
def unread(request: HttpRequest) -> HttpResponse:
    """Return the count of unread notifications if it differs from the count that the page shows.

    A screen reader would read out an equal one again.
    """
    if not request.user.is_authenticated:
        return HttpResponseStopPolling()
    count = services.count_unread(request.user.pk)
    if request.GET.get("shown") == str(count):
        return HttpResponse(status=204)
    return render(request, "notifications/unread.html", {"unread": count})
