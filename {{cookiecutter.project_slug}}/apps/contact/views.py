"""The contact page. It responds once the rows are saved; workers send the emails."""

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from apps.contact import services
from apps.contact.forms import ContactForm
from apps.users.rate_limits import within_rate_limit

logger = structlog.get_logger(__name__)

TOO_MANY = (
    f"The limit is {services.MAX_PER_HOUR} messages per hour. "
    "Please keep this message and send it later."
)


@require_http_methods(["GET", "HEAD", "POST"])
def contact(request: HttpRequest) -> HttpResponse:
    """Show the form, or submit a message."""
    if request.method != "POST":
        return render(request, "contact/form.html", {"form": ContactForm()})
    if request.POST.get("website"):
        # Visitors do not see this field. A bot that got an error would try something else.
        logger.info("contact_bot_ignored")
        return redirect("contact:thanks")
    form = ContactForm(request.POST)
    status = 422
    if form.is_valid():
        if within_rate_limit("contact", client_address(request), services.MAX_PER_HOUR):
            services.submit(**form.cleaned_data)
            return redirect("contact:thanks")
        form.add_error(None, TOO_MANY)
        status = 429
    return render(request, "contact/form.html", {"form": form}, status=status)


@require_safe
def thanks(request: HttpRequest) -> HttpResponse:
    """Confirm that the message was received."""
    return render(request, "contact/thanks.html")


def client_address(request: HttpRequest) -> str:
    """Return the address of the client.

    Each of our TRUSTED_PROXIES appends the address of its own client to X-Forwarded-For. The
    client itself can write anything before that.
    """
    forwarded_for = request.headers.get("X-Forwarded-For", "").replace(",", " ").split()
    if 0 < settings.TRUSTED_PROXIES <= len(forwarded_for):
        return str(forwarded_for[-settings.TRUSTED_PROXIES])
    return str(request.META.get("REMOTE_ADDR", ""))
