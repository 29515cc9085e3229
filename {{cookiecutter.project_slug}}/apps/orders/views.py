"""The order pages. An order is placed in a few milliseconds; whether it can be met, its page tells."""

from typing import cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from apps.orders import services
from apps.orders.forms import OrderForm
from apps.orders.models import CURRENCY, Order
from apps.users.models import User

SHOWN = 50  # orders, the latest ones
NO_CONTENT = 204  # HTMX leaves the page as it is, and a screen reader says nothing again
UNPROCESSABLE = 422  # what HTMX shows like an answer, and what a cache never keeps


@login_required
@never_cache  # going back shows a form for another order, not the one that is placed
@require_http_methods(["GET", "HEAD", "POST"])
def products(request: HttpRequest) -> HttpResponse:
    """Show what is for sale, or take an order."""
    if request.method != "POST":
        return show(request, OrderForm())
    form = OrderForm(request.POST)
    if not form.is_valid():
        return show(request, form, status=UNPROCESSABLE)
    try:
        placed = services.place_order(
            user_of(request),
            form.cleaned_data["quantities"],
            order_id=form.cleaned_data["order_id"],
        )
    except ValueError:  # a product has gone meanwhile, or somebody has made up the id
        form.add_error(None, "This order cannot be placed. Load the page anew and try again.")
        return show(request, form, status=UNPROCESSABLE)
    messages.success(request, f"{placed} is placed.")
    return redirect(placed)


def show(request: HttpRequest, form: OrderForm, status: int = 200) -> HttpResponse:
    """Show the form with what is for sale."""
    context = {"form": form, "currency": CURRENCY}
    return render(request, "orders/products.html", context, status=status)


@login_required
@require_safe
def mine(request: HttpRequest) -> HttpResponse:
    """List the user's own orders."""
    context = {"orders": orders_of(request)[:SHOWN], "currency": CURRENCY}
    return render(request, "orders/mine.html", context)


@login_required
@require_safe
def order(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Show one of the user's own orders."""
    found = get_object_or_404(orders_of(request), pk=pk)
    context = {
        "order": found,
        "lines": found.lines.select_related("product").order_by("product__name"),
        "currency": CURRENCY,
    }
    return render(request, "orders/order.html", context)


@login_required
@require_safe
def steps(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Show how far an order is: the part of its page that asks for itself."""
    found = get_object_or_404(orders_of(request), pk=pk)
    if request.GET.get("shown") == found.state:
        return HttpResponse(status=NO_CONTENT)
    return render(request, "orders/steps.html", {"order": found})


def orders_of(request: HttpRequest) -> QuerySet[Order]:
    """Return what the user may see."""
    return user_of(request).orders.all()


def user_of(request: HttpRequest) -> User:
    """Return who has signed in."""
    return cast("User", request.user)
