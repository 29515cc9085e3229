"""The contact page. It answers once the rows are saved; what is slow is a worker's business."""

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from apps.contact import services
from apps.contact.forms import ContactForm

logger = structlog.get_logger(__name__)

TOO_MANY = (
    f"You have sent {services.MOST_PER_HOUR} messages within an hour, which is as many as we take. "
    "Please keep this one and send it later."
)


@require_http_methods(["GET", "HEAD", "POST"])
def contact(request: HttpRequest) -> HttpResponse:
    """Show the form, or take what was written."""
    if request.method != "POST":
        return render(request, "contact/form.html", {"form": ContactForm()})
    if request.POST.get("website"):
        # People do not see this field. A bot that is refused would come back wiser.
        logger.info("contact_bot_ignored")
        return redirect("contact:thanks")
    form = ContactForm(request.POST)
    status = 422
    if form.is_valid():
        if services.may_submit(client_address(request)):
            services.submit(**form.cleaned_data)
            return redirect("contact:thanks")
        form.add_error(None, TOO_MANY)
        status = 429
    return render(request, "contact/form.html", {"form": form}, status=status)


@require_safe
def thanks(request: HttpRequest) -> HttpResponse:
    """Say that the message has arrived."""
    return render(request, "contact/thanks.html")


def client_address(request: HttpRequest) -> str:
    """Return the address that the request came from.

    Each of our TRUSTED_PROXIES adds to X-Forwarded-For who asked it. What stands before that is
    the client's own writing, by which it could be somebody else with every request.
    """
    asked_by = request.headers.get("X-Forwarded-For", "").replace(",", " ").split()
    if 0 < settings.TRUSTED_PROXIES <= len(asked_by):
        return str(asked_by[-settings.TRUSTED_PROXIES])
    return str(request.META.get("REMOTE_ADDR", ""))
