import asyncio

import pytest
from asgiref.testing import ApplicationCommunicator

from apps.live.origins import SiteOriginValidator


async def accept(_scope, _receive, send):
    await send({"type": "websocket.accept"})


async def response(*origins):
    scope = {
        "type": "websocket",
        "path": "/",
        "headers": [(b"origin", origin.encode()) for origin in origins],
    }
    socket = ApplicationCommunicator(SiteOriginValidator(accept), scope)
    await socket.send_input({"type": "websocket.connect"})
    return (await socket.receive_output(30))["type"].removeprefix("websocket.")


@pytest.mark.parametrize(
    ("origins", "by_http", "by_https"),
    [
        (["http://localhost:8000"], "accept", "close"),
        (["https://localhost"], "accept", "accept"),
        (["https://localhost:8443"], "accept", "accept"),
        (["ws://localhost"], "close", "close"),
        (["https://localhost", "ftp://localhost"], "close", "close"),
        ([], "close", "close"),
    ],
)
def test_an_origin_has_the_scheme_of_the_service(settings, origins, by_http, by_https):
    settings.SECURE_SSL_REDIRECT = False
    assert asyncio.run(response(*origins)) == by_http
    settings.SECURE_SSL_REDIRECT = True
    assert asyncio.run(response(*origins)) == by_https
