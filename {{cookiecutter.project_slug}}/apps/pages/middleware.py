"""What becomes of each page on its way out."""

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.cache import add_never_cache_headers
from django.utils.deprecation import MiddlewareMixin


class NoStoreMiddleware(MiddlewareMixin):
    """Lets browsers keep nothing that a signed-in user sees, unless its view says for how long.

    Who comes after them and goes back would see it, though they have logged out.
    """

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        """Mark the answer; whether somebody has signed in, a request without a session is not asked."""
        if (
            "Cache-Control" not in response
            and request.session.accessed
            and request.user.is_authenticated
        ):
            add_never_cache_headers(response)
        return response
