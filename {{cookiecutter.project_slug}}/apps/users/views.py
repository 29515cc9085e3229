"""Signing in."""

from typing import Any

from django.contrib.auth.views import LoginView as DjangoLoginView
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django_htmx.http import HttpResponseClientRefresh


class LoginView(DjangoLoginView):
    """Django's own, which is no part of another page."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Show the form, but not in a page that asked for a part of itself: that is loaded anew.

        So it comes here again, since its user has signed out elsewhere.
        """
        if request.method == "GET" and "HX-Request" in request.headers:
            return HttpResponseClientRefresh()
        return super().dispatch(request, *args, **kwargs)
