"""The page that invites users, and the page of an invitation link."""

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
from apps.users.decorators import UserRequest, post_after_login
from apps.users.models import User
from apps.users.rate_limits import within_rate_limit

PER_PAGE = 20
NOT_FOUND, GONE = 404, 410
MAX_PER_HOUR = 60  # forms and resent links of one user; a form has up to 500 addresses
TOO_MANY = f"The limit is {MAX_PER_HOUR} per hour. Try again later."


class TokenView(Protocol):
    """A view with a token in its URL."""

    def __call__(self, request: HttpRequest, token: str) -> HttpResponse: ...


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def invitation_list(request: UserRequest) -> HttpResponse:
    """List the user's own invitations, or invite."""
    if not request.user.is_staff:
        return render(request, "invitations/list.html", status=403)
    form = InviteForm(request.user, request.POST or None)
    status = 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            if within_rate_limit("invitations", request.user.pk, MAX_PER_HOUR):
                invite(request, form)
                return redirect("invitations:list")
            form.add_error("emails", TOO_MANY)
            status = 429
    own = Invitation.objects.filter(invited_by=request.user)
    page = Paginator(own, PER_PAGE).get_page(request.GET.get("page"))
    context = {"form": form, "page": page}
    return render(request, "invitations/list.html", context, status=status)


def invite(request: UserRequest, form: InviteForm) -> None:
    """Invite the addresses of a valid form, and show how many are new."""
    emails, role = form.cleaned_data["emails"], form.cleaned_data["role"]
    new = services.invite(request.user, emails, role)
    messages.success(request, f"{len(new)} invited.")
    if pending := len(emails) - len(new):
        messages.info(request, f"{pending} already invited: resend those below if needed.")


@post_after_login(lambda **_: reverse("invitations:list"))
def change(request: UserRequest, pk: int, action: str) -> HttpResponse:
    """Resend or revoke one of the user's own invitations."""
    if not request.user.is_staff:
        return render(request, "invitations/list.html", status=403)
    invitation = get_object_or_404(Invitation, pk=pk, invited_by=request.user)
    if action == "resend" and not within_rate_limit("invitations", request.user.pk, MAX_PER_HOUR):
        messages.error(request, TOO_MANY)
        return redirect("invitations:list")
    act, done = {
        "resend": (services.resend, "A new link is on its way. The old link is no longer valid."),
        "revoke": (services.revoke, "The invitation is revoked."),
    }[action]
    if act(invitation):
        messages.success(request, done)
    else:
        messages.warning(request, "The invitation is no longer pending.")
    return redirect("invitations:list")


def protect_token(view: TokenView) -> TokenView:
    """Keep the token in the URL out of caches and out of requests to other sites."""

    @wraps(view)
    def protected(request: HttpRequest, token: str) -> HttpResponse:
        response = view(request, token)
        # With `no-referrer`, browsers send `Origin: null`, which fails the CSRF check.
        response["Referrer-Policy"] = "strict-origin"
        return response

    return never_cache(protected)


@protect_token
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def accept(request: HttpRequest, token: str) -> HttpResponse:
    """Show an invitation, or accept it: with a new password, or as the user of its address."""
    try:
        invitation = services.find(token)
        account = services.existing_user(invitation)
        form = (
            None if account else SetPasswordForm(User(email=invitation.email), request.POST or None)
        )
        if request.method == "POST" and can_accept(request, account, form):
            return accept_and_log_in(request, token, form)
    except services.CannotAcceptError as error:
        reason = str(error)
        context: dict[str, Any] = {"reason": reason}
        status = NOT_FOUND if reason == "unknown" else GONE
        return render(request, "invitations/gone.html", context, status=status)
    context = {"invitation": invitation, "account": account, "form": form}
    status = 422 if request.method == "POST" else 200
    return render(request, "invitations/accept.html", context, status=status)


def can_accept(request: HttpRequest, account: User | None, form: SetPasswordForm | None) -> bool:
    """Return whether the password is valid or, if the address has an account, its user is logged in."""
    return form.is_valid() if form else request.user == account


def accept_and_log_in(
    request: HttpRequest, token: str, form: SetPasswordForm | None
) -> HttpResponse:
    """Accept the invitation, and log in a new user."""
    password = form.cleaned_data["new_password1"] if form else None
    user = services.accept(token, password=password)
    if form:
        login(request, user)
    messages.success(request, "Welcome!")
    return redirect("home")
