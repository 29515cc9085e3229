"""Who may do what."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_POST

View = Callable[..., HttpResponse]


def post_after_login(page: Callable[..., str]) -> Callable[[View], View]:
    """Let a view take forms alone, and those of who has logged in.

    A login leads on by GET, so others come back to the page that the form stands on.

    Args:
        page: returns its path, from the keyword arguments of the view.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def view_or_login(request: HttpRequest, **arguments: Any) -> HttpResponse:
            if request.user.is_authenticated:
                return view(request, **arguments)
            messages.info(request, "Log in, then do it again.")
            return redirect_to_login(page(**arguments))

        return require_POST(view_or_login)

    return decorate
