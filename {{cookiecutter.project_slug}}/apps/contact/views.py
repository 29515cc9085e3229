"""The contact page. It answers once the rows are saved; what is slow is a worker's business."""

import structlog
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
    status = 200
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
    """Return the address that the connection came from.

    X-Forwarded-For is not looked at: a client may write into it what it likes, and so be somebody
    else with every request. Behind a proxy, all come from the proxy's address and share one limit
    until a middleware puts what that proxy says, and only that, into REMOTE_ADDR.
    """
    return str(request.META.get("REMOTE_ADDR", ""))
