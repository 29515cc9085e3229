"""Health endpoints for load balancers and orchestrators."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.deprecation import MiddlewareMixin

from durable import __version__
from durable.health import alerts, readiness


class HealthMiddleware(MiddlewareMixin):
    """Answers `/health/live` and `/health/ready`.

    It comes early, so a probe needs no session, no HTTPS and no allowed host: Kubernetes calls a
    pod by its IP address.
    """

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        """Answer a probe, or pass the request on."""
        alerts.check_soon()
        if request.path_info == "/health/live":
            return respond({})
        if request.path_info == "/health/ready":
            checks, queues = readiness.check_all()
            return respond(checks, queues=queues, version=__version__)
        return None


def respond(checks: dict[str, bool], **details: str) -> JsonResponse:
    """Return 200 if all checks passed, else 503; no cache on the way may keep it.

    A queue that is stuck is no reason for 503: the status is "degraded" then.
    """
    words = {True: "ok", False: "unavailable"}
    passed = all(checks.values())
    states = {name: words[ok] for name, ok in checks.items()}
    degraded = passed and details.get("queues") == "stuck"
    return JsonResponse(
        {"status": "degraded" if degraded else words[passed], "checks": states, **details},
        status=200 if passed else 503,
        headers={"Cache-Control": "no-store"},
    )
