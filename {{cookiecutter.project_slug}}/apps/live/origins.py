"""Accepts WebSockets from pages of this service only: another site's page would send its visitor's cookies."""

from typing import Any
from urllib.parse import urlsplit

from channels.security.websocket import OriginValidator, WebsocketDenier
from django.conf import settings


class SiteOriginValidator(OriginValidator):  # type: ignore[misc]
    """Rejects a socket unless its Origin is a web address on one of ALLOWED_HOSTS.

    Channels' own validator compares only the host, so it accepts `ftp://` and `chrome-extension://`,
    and an unreadable address raises an error in it. Where SECURE_SSL_REDIRECT is on, no page of this
    service comes by http.
    """

    def __init__(self, application: Any) -> None:
        super().__init__(application, settings.ALLOWED_HOSTS)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        origins = [value.decode("latin1") for name, value in scope["headers"] if name == b"origin"]
        application = super().__call__ if all(map(is_page, origins)) else WebsocketDenier()
        await application(scope, receive, send)


def is_page(origin: str) -> bool:
    """Return whether pages of this service can have such an origin; the host is not compared."""
    try:
        url = urlsplit(origin)
        valid = url.hostname is not None and url.port != 0
    except ValueError:
        return False
    schemes = {"https"} if settings.SECURE_SSL_REDIRECT else {"http", "https"}
    return valid and url.scheme in schemes
