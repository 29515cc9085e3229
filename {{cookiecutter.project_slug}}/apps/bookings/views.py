"""The booking pages. Everybody sees what is free; who books, or looks at bookings, signs in first."""

from typing import cast
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
from apps.users.decorators import post_after_login
from apps.users.models import User

PER_PAGE = 50  # slots or bookings
UNPROCESSABLE = 422


@require_safe
def free_slots(request: HttpRequest) -> HttpResponse:
    """List what can be booked, by day."""
    page = page_of(request, Slot.objects.free().select_related("calendar"))
    return render(request, "bookings/list.html", {"page": page})


@require_http_methods(["GET", "HEAD", "POST"])
def slot(request: HttpRequest, pk: int) -> HttpResponse:
    """Show a slot with its form, or book it."""
    wanted = get_object_or_404(Slot.objects.select_related("calendar__owner"), pk=pk)
    form = BookingForm(request.POST if request.method == "POST" else None)
    if request.method != "POST":
        return show(request, wanted, form)
    if not request.user.is_authenticated:
        return redirect_to_login(wanted.get_absolute_url())
    if not form.is_valid():
        return show(request, wanted, form, status=UNPROCESSABLE)
    try:
        made = services.book(wanted, user_of(request), form.cleaned_data["note"])
    except services.NotBookableError as error:
        messages.error(request, f"{error} Choose another one of these.")
        return redirect("bookings:list")
    messages.success(request, "You have booked it. A confirmation is on its way to you by mail.")
    return redirect(made)


def show(request: HttpRequest, wanted: Slot, form: BookingForm, status: int = 200) -> HttpResponse:
    """Show a slot, with the form if it can be booked, or the user's own booking of it."""
    is_free = Slot.objects.free().filter(pk=wanted.pk).exists()
    own = wanted.bookings.filter(user=request.user.pk, canceled_at=None).first()
    context = {"slot": wanted, "form": form, "is_free": is_free, "own": own}
    return render(request, "bookings/slot.html", context, status=status)


@login_required
@require_safe
def mine(request: HttpRequest) -> HttpResponse:
    """List the user's own bookings."""
    own = Booking.objects.filter(user=user_of(request))
    return render(request, "bookings/mine.html", {"page": page_of(request, latest(own))})


@login_required
@require_safe
def calendars(request: HttpRequest) -> HttpResponse:
    """List what others have booked in the user's own calendars."""
    owned = Booking.objects.filter(slot__calendar__owner=user_of(request))
    return render(request, "bookings/calendars.html", {"page": page_of(request, latest(owned))})


@login_required
@require_safe
def booking(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Show one booking."""
    return render(
        request, "bookings/booking.html", {"booking": get_object_or_404(seen(request), pk=pk)}
    )


@post_after_login(lambda pk: reverse("bookings:booking", args=[pk]))
def cancel(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Cancel a booking, as its customer or as the owner of its calendar."""
    found = get_object_or_404(seen(request), pk=pk)
    if services.cancel(found):
        messages.success(request, "The booking is canceled. Both of you are told by mail.")
    else:
        messages.error(request, "It is too late: this booking is canceled already, or has begun.")
    return redirect(found)


def seen(request: HttpRequest) -> QuerySet[Booking]:
    """Return what the user may see and cancel."""
    user = user_of(request)
    return latest(Booking.objects.filter(Q(user=user) | Q(slot__calendar__owner=user)))


def latest(bookings: QuerySet[Booking]) -> QuerySet[Booking]:
    """Put the latest slots first, with all that a page shows of them."""
    related = bookings.select_related("user", "slot__calendar__owner")
    return related.order_by("-slot__starts_at", "-pk")


def page_of(request: HttpRequest, rows: QuerySet) -> Page:
    """Return the page that is asked for, or one that there is."""
    return Paginator(rows, PER_PAGE).get_page(request.GET.get("page"))


def user_of(request: HttpRequest) -> User:
    """Return who has signed in."""
    return cast("User", request.user)
