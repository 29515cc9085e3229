"""Middleware of the engine."""

from django.http import HttpRequest, HttpResponse
from django.utils.deprecation import MiddlewareMixin


class RefuseNULMiddleware(MiddlewareMixin):
    """Respond 400 to a URL that holds NUL: a filter or a search with it is an error of PostgreSQL.

    Django's forms refuse NUL in what is posted, and its query strings never hold half a surrogate pair.
    """

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        if "\x00" in request.path_info or "%00" in request.META.get("QUERY_STRING", ""):
            return HttpResponse("The address holds NUL.", "text/plain", 400)
        return None
