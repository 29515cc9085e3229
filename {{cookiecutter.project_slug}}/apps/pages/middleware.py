"""Response headers of pages."""

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.cache import add_never_cache_headers
from django.utils.deprecation import MiddlewareMixin


class NoStoreMiddleware(MiddlewareMixin):
    """Stops browsers from storing pages of logged-in users, unless the view sets a caching time.

    Otherwise the next user of the same browser could go back to them after the logout.
    """

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        """Add the headers. The session is only checked if the view has read it."""
        if (
            "Cache-Control" not in response
            and request.session.accessed
            and request.user.is_authenticated
        ):
            add_never_cache_headers(response)
        return response
