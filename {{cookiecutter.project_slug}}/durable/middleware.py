"""Middleware of the engine."""

import re
import uuid

import structlog
from django.http import HttpRequest, HttpResponse
from django.utils.deprecation import MiddlewareMixin

from durable.conf import conf
from durable.correlation import MAX_LENGTH

REQUEST_ID = "X-Request-ID"
META = "HTTP_X_REQUEST_ID"
# What proxies send, and nothing that a log, a header or a URL would have to escape.
VALID_ID = re.compile(rf"[A-Za-z0-9._:=+/@-]{{1,{MAX_LENGTH}}}", re.ASCII)


class RequestIdMiddleware(MiddlewareMixin):
    """Gives each request an id, and each response the same: that of a trusted proxy, or one of its own.

    It comes first, so that also a response of another middleware, or an error, has the header.
    django-structlog reads the id from the request.
    """

    def process_request(self, request: HttpRequest) -> None:
        """Keep the proxy's id if it is valid, else replace it."""
        given = request.META.get(META, "") if conf.TRUSTED_PROXIES > 0 else ""
        request_id = given if VALID_ID.fullmatch(given) else str(uuid.uuid4())
        request.META[META] = request_id
        request.__dict__.pop("headers", None)  # a copy of META, if something has read it
        structlog.contextvars.bind_contextvars(request_id=request_id)

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        """Name the request in its response."""
        response[REQUEST_ID] = request.META[META]
        structlog.contextvars.unbind_contextvars("request_id")
        return response


class RefuseNULMiddleware(MiddlewareMixin):
    """Respond 400 to a URL that holds NUL: a filter or a search with it is an error of PostgreSQL.

    Django's forms refuse NUL in what is posted, and its query strings never hold half a surrogate pair.
    """

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        if "\x00" in request.path_info or "%00" in request.META.get("QUERY_STRING", ""):
            return HttpResponse("The address holds NUL.", "text/plain", 400)
        return None
