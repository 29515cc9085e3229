"""What every page may name."""

from django.apps import AppConfig, apps
from django.conf import settings
from django.http import HttpRequest


def service(request: HttpRequest) -> dict[str, object]:
    """Give templates the service's name and description, its apps, and where pages hear what is new."""
    return {
        "service_name": settings.SERVICE_NAME,
        "service_description": settings.SERVICE_DESCRIPTION,
        "service_apps": service_apps,
        "live_url": settings.LIVE_URL,
    }


def service_apps() -> list[AppConfig]:
    """Return the apps that have pages: `home` in their AppConfig is a URL name, `summary` a sentence."""
    return [app for app in apps.get_app_configs() if hasattr(app, "home")]
