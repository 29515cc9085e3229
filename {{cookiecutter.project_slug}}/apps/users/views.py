"""The login page."""

from typing import Any

from django.contrib.auth.views import LoginView as DjangoLoginView
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django_htmx.http import HttpResponseClientRefresh


class LoginView(DjangoLoginView):
    """Django's login page, never shown inside another page."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Show the form; reload a page that requested a part of itself with HTMX.

        Its user has logged out in another tab, so the reload leads to this form.
        """
        if request.method == "GET" and "HX-Request" in request.headers:
            return HttpResponseClientRefresh()
        return super().dispatch(request, *args, **kwargs)
