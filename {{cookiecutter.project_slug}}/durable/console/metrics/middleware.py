"""`/metrics`."""

from django.http import HttpRequest, HttpResponse
from django.utils.deprecation import MiddlewareMixin
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from durable.console.metrics.access import refusal
from durable.console.metrics.scrape import Scrape
from durable.tasks import metrics


class MetricsMiddleware(MiddlewareMixin):
    """Answers `/metrics` if METRICS_TOKEN or METRICS_NETWORKS is set; else there is no such page.

    It comes before other middleware: Prometheus may call a process by its address, without HTTPS.
    """

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        """Answer Prometheus, or pass the request on."""
        if request.path_info != "/metrics" or not metrics.enabled():
            return None
        response = refusal(request) or HttpResponse(generate_latest(Scrape()), CONTENT_TYPE_LATEST)
        response["Cache-Control"] = "no-store"
        return response
