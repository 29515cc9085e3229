"""Pages of bookings. Visitors see free slots; booking, and viewing bookings, needs a login."""

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import redirect_to_login
from django.core.paginator import Page, Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from apps.bookings import services
from apps.bookings.forms import BookingForm
from apps.bookings.models import Booking, Slot
from apps.users.decorators import UserRequest, post_after_login
from apps.users.rate_limits import within_rate_limit

PER_PAGE = 50  # slots or bookings
UNPROCESSABLE = 422
MAX_PER_HOUR = 60  # bookings of one user; booking and canceling send emails to both sides
TOO_MANY_REQUESTS = 429


@require_safe
def free_slots(request: HttpRequest) -> HttpResponse:
    """List free slots by day."""
    page = page_of(request, Slot.objects.free().select_related("calendar"))
    return render(request, "bookings/list.html", {"page": page})


@require_http_methods(["GET", "HEAD", "POST"])
def slot(request: HttpRequest, pk: int) -> HttpResponse:
    """Show a slot with its form, or book it."""
    requested = get_object_or_404(Slot.objects.select_related("calendar__owner"), pk=pk)
    form = BookingForm(request.POST if request.method == "POST" else None)
    if request.method != "POST":
        return show_slot(request, requested, form)
    if not request.user.is_authenticated:
        return redirect_to_login(requested.get_absolute_url())
    if not form.is_valid():
        return show_slot(request, requested, form, status=UNPROCESSABLE)
    if not within_rate_limit("bookings", request.user.pk, MAX_PER_HOUR):
        form.add_error(None, f"The limit is {MAX_PER_HOUR} bookings per hour. Try again later.")
        return show_slot(request, requested, form, status=TOO_MANY_REQUESTS)
    try:
        new = services.book(requested, request.user, form.cleaned_data["note"])
    except services.NotBookableError as error:
        messages.error(request, f"{error} Choose another one.")
        return redirect("bookings:list")
    messages.success(request, "Your booking is confirmed. A confirmation is on its way by email.")
    return redirect(new)


def show_slot(
    request: HttpRequest, requested: Slot, form: BookingForm, status: int = 200
) -> HttpResponse:
    """Show a slot with the form if it is free, or with the user's own booking."""
    is_free = Slot.objects.free().filter(pk=requested.pk).exists()
    own = requested.bookings.filter(user=request.user.pk, canceled_at=None).first()
    context = {"slot": requested, "form": form, "is_free": is_free, "own": own}
    return render(request, "bookings/slot.html", context, status=status)


@login_required
@require_safe
def mine(request: UserRequest) -> HttpResponse:
    """List the user's own bookings."""
    page = page_of(request, latest_first(Booking.objects.filter(user=request.user)))
    return render(request, "bookings/mine.html", {"page": page})


@login_required
@require_safe
def calendars(request: UserRequest) -> HttpResponse:
    """List the bookings of the user's own calendars."""
    owned = Booking.objects.filter(slot__calendar__owner=request.user)
    return render(
        request, "bookings/calendars.html", {"page": page_of(request, latest_first(owned))}
    )


@login_required
@require_safe
def booking(request: UserRequest, pk: UUID) -> HttpResponse:
    """Show one booking."""
    found = get_object_or_404(visible_to(request), pk=pk)
    return render(request, "bookings/booking.html", {"booking": found})


@post_after_login(lambda pk: reverse("bookings:booking", args=[pk]))
def cancel(request: UserRequest, pk: UUID) -> HttpResponse:
    """Cancel a booking, as its customer or as the owner of its calendar."""
    found = get_object_or_404(visible_to(request), pk=pk)
    if services.cancel(found):
        messages.success(
            request, "The booking is canceled. The customer and the owner get an email."
        )
    else:
        messages.error(request, "This booking is already canceled, or its slot has started.")
    return redirect(found)


def visible_to(request: UserRequest) -> QuerySet[Booking]:
    """Return the bookings that the user can see and cancel."""
    user = request.user
    return latest_first(Booking.objects.filter(Q(user=user) | Q(slot__calendar__owner=user)))


def latest_first(bookings: QuerySet[Booking]) -> QuerySet[Booking]:
    related = bookings.select_related("user", "slot__calendar__owner")
    return related.order_by("-slot__starts_at", "-pk")


def page_of(request: HttpRequest, rows: QuerySet) -> Page:
    return Paginator(rows, PER_PAGE).get_page(request.GET.get("page"))
