"""What a user was told. Everybody sees and marks their own notifications only."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe
from django_htmx.http import HttpResponseStopPolling, trigger_client_event
from django_htmx.middleware import HtmxDetails

from apps.notifications import services
from apps.notifications.models import Notification
from apps.users.decorators import post_after_login
from apps.users.models import User

PER_PAGE = 20


class UserRequest(HttpRequest):
    """A request that the middleware has looked at, and `login_required` or `post_after_login` too."""

    user: User
    htmx: HtmxDetails


def own(request: UserRequest) -> QuerySet[Notification]:
    """Return the notifications of who asks."""
    return Notification.objects.filter(user=request.user)


@login_required
@require_safe
def notification_list(request: UserRequest) -> HttpResponse:
    """Show the latest ones first."""
    notifications = own(request)
    page = Paginator(notifications, PER_PAGE).get_page(request.GET.get("page"))
    newest_unread = notifications.filter(read_at__isnull=True).first()
    context = {"page": page, "newest_unread": newest_unread}
    return render(request, "notifications/list.html", context)


@post_after_login(lambda **_: reverse("notifications:list"))
def read(request: UserRequest, pk: int) -> HttpResponse:
    """Mark one as read, then go where it leads to if that was the button."""
    services.mark_read(own(request).filter(pk=pk))
    notification = get_object_or_404(own(request), pk=pk)
    if "open" in request.POST and services.is_path(notification.url):
        return redirect(notification.url)
    if request.htmx:
        item = render(request, "notifications/item.html", {"notification": notification})
        return trigger_client_event(item, "notification")
    return redirect("notifications:list")


@post_after_login(lambda **_: reverse("notifications:list"))
def read_all(request: UserRequest) -> HttpResponse:
    """Mark all as read that were there when the page was made; what came since stays new."""
    try:
        newest = int(request.POST.get("newest", ""))
    except ValueError:
        return HttpResponse("newest: a number is needed", status=400, content_type="text/plain")
    count = services.mark_read(own(request).filter(pk__lte=newest))
    messages.success(request, f"{count} marked as read.")
    return redirect("notifications:list")


@require_safe
def bell(request: HttpRequest) -> HttpResponse:
    """Give the bell anew, unless it would say the same as before: a screen reader would say it again."""
    if not isinstance(request.user, User):
        return HttpResponseStopPolling()
    unread = services.count_unread(request.user.pk)
    if request.GET.get("shown") == str(unread):
        return HttpResponse(status=204)
    return render(request, "notifications/bell.html", {"unread": unread})
