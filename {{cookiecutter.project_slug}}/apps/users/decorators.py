"""Decorators of views, and the request that they get."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_POST
from django_htmx.middleware import HtmxDetails

from apps.users.models import User

View = Callable[..., HttpResponse]


class UserRequest(HttpRequest):
    """A request of a logged-in user, behind `login_required` or `post_after_login`."""

    user: User
    htmx: HtmxDetails


def post_after_login(page: Callable[..., str]) -> Callable[[View], View]:
    """Accept only POST requests, and send users who are not logged in to the login page.

    After the login, the browser follows with GET, so it opens the page that holds the form.

    Args:
        page: returns the path of that page, from the keyword arguments of the view.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def view_or_login(request: HttpRequest, **arguments: Any) -> HttpResponse:
            if request.user.is_authenticated:
                return view(request, **arguments)
            messages.info(request, "Log in, then try again.")
            return redirect_to_login(page(**arguments))

        return require_POST(view_or_login)

    return decorate
