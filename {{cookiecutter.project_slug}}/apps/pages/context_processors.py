"""What every page may name."""

from django.conf import settings
from django.http import HttpRequest


def service(request: HttpRequest) -> dict[str, str]:
    """Give templates the service's name and description."""
    return {
        "service_name": settings.SERVICE_NAME,
        "service_description": settings.SERVICE_DESCRIPTION,
    }
