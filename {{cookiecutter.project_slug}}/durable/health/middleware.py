"""Answers to those who watch over the service."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.deprecation import MiddlewareMixin

from durable.health import readiness


class HealthMiddleware(MiddlewareMixin):
    """Answers `/health/live` and `/health/ready`.

    As the first of all, it needs no session, redirects nobody to HTTPS and asks for no host: a
    probe calls the address of a pod.
    """

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        """Answer, or leave the request to the next in line."""
        if request.path_info == "/health/live":
            return answer({})
        if request.path_info == "/health/ready":
            return answer(readiness.look())
        return None


def answer(checks: dict[str, bool]) -> JsonResponse:
    """Say whether all is well, with 200 or 503, to be kept by no cache on the way."""
    words = {True: "ok", False: "unavailable"}
    well = all(checks.values())
    return JsonResponse(
        {"status": words[well], "checks": {name: words[ok] for name, ok in checks.items()}},
        status=200 if well else 503,
        headers={"Cache-Control": "no-store"},
    )
