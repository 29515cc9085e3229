"""The staff's invitations, and the page that a link opens."""

from functools import wraps
from typing import Any, Protocol

from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import SetPasswordForm
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from apps.invitations import services
from apps.invitations.forms import InviteForm
from apps.invitations.models import Invitation
from apps.users.decorators import post_after_login
from apps.users.models import User

PER_PAGE = 20
HTTP_OF = {"unknown": 404}  # for all other words: 410, it was there


class UserRequest(HttpRequest):
    """A request of somebody who has logged in."""

    user: User


class View(Protocol):
    """A view that a link's secret reaches."""

    def __call__(self, request: HttpRequest, token: str) -> HttpResponse: ...


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def invitation_list(request: UserRequest) -> HttpResponse:
    """Show whom one has invited, or invite."""
    if not request.user.is_staff:
        return render(request, "invitations/list.html", status=403)
    form = InviteForm(request.user, request.POST or None)
    status = 200
    if request.method == "POST":
        if form.is_valid():
            tell_how_many(request, form)
            return redirect("invitations:list")
        status = 422
    own = Invitation.objects.filter(invited_by=request.user)
    page = Paginator(own, PER_PAGE).get_page(request.GET.get("page"))
    context = {"form": form, "page": page}
    return render(request, "invitations/list.html", context, status=status)


def tell_how_many(request: UserRequest, form: InviteForm) -> None:
    """Invite, and say how many that were."""
    emails, role = form.cleaned_data["emails"], form.cleaned_data["role"]
    new = services.invite(request.user, emails, role)
    messages.success(request, f"{len(new)} invited.")
    if known := len(emails) - len(new):
        messages.info(request, f"{known} invited before: send those again if need be.")


@post_after_login(lambda **_: reverse("invitations:list"))
def change(request: UserRequest, pk: int, what: str) -> HttpResponse:
    """Send one of one's own invitations again, or take it back."""
    if not request.user.is_staff:
        return render(request, "invitations/list.html", status=403)
    invitation = get_object_or_404(Invitation, pk=pk, invited_by=request.user)
    act, done = {
        "resend": (services.resend, "A new link is on its way; the old one holds no more."),
        "revoke": (services.revoke, "Taken back."),
    }[what]
    if act(invitation):
        messages.success(request, done)
    else:
        messages.warning(request, "Too late: it is no longer pending.")
    return redirect("invitations:list")


def no_trace_of_the_link(view: View) -> View:
    """Let neither caches nor other sites learn of a secret in an address."""

    @wraps(view)
    def without_trace(request: HttpRequest, token: str) -> HttpResponse:
        response = view(request, token)
        # With `no-referrer`, browsers send `Origin: null`, and the form is refused as forged.
        response["Referrer-Policy"] = "strict-origin"
        return response

    return never_cache(without_trace)


@no_trace_of_the_link
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def accept(request: HttpRequest, token: str) -> HttpResponse:
    """Show who invites whom, or accept: with a new password, or by whom the address belongs to."""
    try:
        invitation = services.find(token)
        account = services.user_of(invitation)
        form = (
            None if account else SetPasswordForm(User(email=invitation.email), request.POST or None)
        )
        if request.method == "POST" and may_accept(request, account, form):
            return welcome(request, token, form)
    except services.CannotAcceptError as error:
        reason = str(error)
        context: dict[str, Any] = {"reason": reason}
        return render(request, "invitations/gone.html", context, status=HTTP_OF.get(reason, 410))
    context = {"invitation": invitation, "account": account, "form": form}
    status = 422 if request.method == "POST" else 200
    return render(request, "invitations/accept.html", context, status=status)


def may_accept(request: HttpRequest, account: User | None, form: SetPasswordForm | None) -> bool:
    """Say whether who asks has the account, or has chosen a password for a new one."""
    return form.is_valid() if form else request.user == account


def welcome(request: HttpRequest, token: str, form: SetPasswordForm | None) -> HttpResponse:
    """Accept, and log in who is new."""
    password = form.cleaned_data["new_password1"] if form else None
    user = services.accept(token, password=password)
    if form:
        login(request, user)
    messages.success(request, "Welcome!")
    return redirect("home")
