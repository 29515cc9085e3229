"""Variables of every template."""

from django.apps import AppConfig, apps
from django.conf import settings
from django.http import HttpRequest


def service(request: HttpRequest) -> dict[str, object]:
    """Return the service's name, description and apps, and the path of its WebSocket."""
    return {
        "service_name": settings.SERVICE_NAME,
        "service_description": settings.SERVICE_DESCRIPTION,
        "service_apps": service_apps,
        "live_url": settings.LIVE_URL,
    }


def service_apps() -> list[AppConfig]:
    """Return the apps with pages: their AppConfig has a URL name `home` and a sentence `summary`."""
    return [app for app in apps.get_app_configs() if hasattr(app, "home")]
