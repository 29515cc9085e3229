"""The ASGI entry point: `uvicorn config.asgi:application`."""

import os

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.core.signals import request_finished
from django.dispatch import receiver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.production")
pages = get_asgi_application()

from apps.live.origins import SiteOriginValidator  # noqa: E402 - needs the apps loaded
from apps.live.routing import websocket_urlpatterns  # noqa: E402 - the same
from durable.api import close_connections  # noqa: E402 - the same


@receiver(request_finished)
def end_request(**_: object) -> None:
    """Close a request's database connection at its end, not after CONN_MAX_AGE.

    Each request runs in a thread of its own, so no other request would reuse the connection.
    """
    close_connections()


application = ProtocolTypeRouter(
    {
        "http": pages,
        "websocket": SiteOriginValidator(AuthMiddlewareStack(URLRouter(websocket_urlpatterns))),
    }
)
