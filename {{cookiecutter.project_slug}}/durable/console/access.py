"""Permissions of the console, and the page that shows a problem."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django_htmx.http import HttpResponseClientRefresh

View = Callable[..., HttpResponse]


class ProblemError(Exception):
    """A request that the console refuses with a page.

    Args:
        status: of the response.
        title: what is wrong.
        detail: why, or what to do.
    """

    def __init__(self, status: int, title: str, detail: str = "") -> None:
        super().__init__(title)
        self.status, self.title, self.detail = status, title, detail


def is_refresh(request: HttpRequest) -> bool:
    """Whether HTMX asks for a part of an open page."""
    return bool(request.headers.get("HX-Request"))


def frame(request: HttpRequest) -> str:
    """Return the template around a page's content: none for a refresh by HTMX. A frame would use up the messages."""
    return "console/part.html" if is_refresh(request) else "console/base.html"


def may(user: Any, permission: str) -> bool:
    """Whether a user may do something in the console: staff with the permission, and with that to see it."""
    needed = {"console.view_console", f"console.{permission}"}
    return bool(user.is_active and user.is_staff and user.has_perms(needed))


def need(user: Any, permission: str) -> None:
    """Raise ProblemError if a user lacks a permission."""
    if not may(user, permission):
        raise ProblemError(
            403,
            "You cannot do this",
            f"Your account lacks the permission console.{permission}. An administrator can add it.",
        )


def console_page(view: View) -> View:
    """Call a view for users with `view_console` only, and show its problems as pages."""

    @wraps(view)
    def guarded(request: HttpRequest, **arguments: Any) -> HttpResponse:
        if not request.user.is_authenticated:
            if is_refresh(request):  # HTMX would put the login page into the page
                return HttpResponseClientRefresh()
            page = request.method == "GET"
            path = request.get_full_path() if page else reverse("console:overview")
            return redirect_to_login(path)
        try:
            need(request.user, "view_console")
            return view(request, **arguments)
        except ProblemError as problem:
            if is_refresh(request):  # HTMX would show old work, and ask again and again
                return HttpResponseClientRefresh()
            context = {"problem": problem, "visible": may(request.user, "view_console")}
            return render(request, "console/problem.html", context, status=problem.status)

    return guarded
