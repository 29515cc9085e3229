"""Pages of orders. Placing an order takes milliseconds; its page shows the steps that follow."""

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from apps.orders import services
from apps.orders.forms import OrderForm
from apps.orders.models import CURRENCY
from apps.users.decorators import UserRequest
from apps.users.rate_limits import within_rate_limit

MAX_SHOWN = 50  # orders, the latest ones
NO_CONTENT = 204  # HTMX changes nothing, so a screen reader does not repeat the status
MAX_PER_HOUR = 60  # orders of one customer; each starts tasks and sends an email
TOO_MANY_REQUESTS = 429
UNPROCESSABLE = 422  # HTMX shows the response, and caches do not store it


@login_required
@never_cache  # the back button shows a form with a new order id
@require_http_methods(["GET", "HEAD", "POST"])
def products(request: UserRequest) -> HttpResponse:
    """Show the products, or place an order."""
    if request.method != "POST":
        return show_form(request, OrderForm())
    form = OrderForm(request.POST)
    if not form.is_valid():
        return show_form(request, form, status=UNPROCESSABLE)
    if not within_rate_limit("orders", request.user.pk, MAX_PER_HOUR):
        form.add_error(None, f"The limit is {MAX_PER_HOUR} orders per hour. Try again later.")
        return show_form(request, form, status=TOO_MANY_REQUESTS)
    try:
        order = services.place_order(
            request.user, form.cleaned_data["quantities"], order_id=form.cleaned_data["order_id"]
        )
    except ValueError:  # a product was deleted just now, or the id is forged
        form.add_error(None, "The order could not be placed. Reload the page and try again.")
        return show_form(request, form, status=UNPROCESSABLE)
    messages.success(request, f"{order} is placed.")
    return redirect(order)


def show_form(request: UserRequest, form: OrderForm, status: int = 200) -> HttpResponse:
    context = {"form": form, "currency": CURRENCY}
    return render(request, "orders/products.html", context, status=status)


@login_required
@require_safe
def mine(request: UserRequest) -> HttpResponse:
    """List the user's own orders."""
    context = {"orders": request.user.orders.all()[:MAX_SHOWN], "currency": CURRENCY}
    return render(request, "orders/mine.html", context)


@login_required
@require_safe
def order(request: UserRequest, pk: UUID) -> HttpResponse:
    """Show one of the user's own orders."""
    found = get_object_or_404(request.user.orders, pk=pk)
    context = {
        "order": found,
        "lines": found.lines.select_related("product").order_by("product__name"),
        "currency": CURRENCY,
    }
    return render(request, "orders/order.html", context)


@login_required
@require_safe
def steps(request: UserRequest, pk: UUID) -> HttpResponse:
    """Show the steps of an order: the part of its page that polls."""
    found = get_object_or_404(request.user.orders, pk=pk)
    if request.GET.get("shown") == found.state:
        return HttpResponse(status=NO_CONTENT)
    return render(request, "orders/steps.html", {"order": found})
