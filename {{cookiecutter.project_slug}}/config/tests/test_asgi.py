import asyncio
import gc
import threading

import pytest
from asgiref.testing import ApplicationCommunicator
from django.core.signals import request_finished
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from config import asgi

SCOPE = {
    "type": "http",
    "method": "GET",
    "path": "/notifications/",
    "headers": [(b"host", b"localhost"), (b"cookie", b"sessionid=0123456789abcdef")],
}
request_finished.disconnect(asgi.end_request)  # not for the requests of other tests


@pytest.fixture
def _end_request(monkeypatch):
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", 60)
    request_finished.connect(asgi.end_request)
    yield
    request_finished.disconnect(asgi.end_request)


async def request():
    page = ApplicationCommunicator(asgi.application, dict(SCOPE))
    await page.send_input({"type": "http.request"})
    assert (await page.receive_output(60))["status"] == 302
    await page.receive_output(60)
    await page.wait(60)


def connections_of_requests():
    return [
        wrapper
        for wrapper in gc.get_objects()
        if issubclass(type(wrapper), BaseDatabaseWrapper)
        and wrapper._thread_ident != threading.get_ident()
    ]


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_end_request")
def test_requests_leave_no_database_connection_open():
    gc.disable()
    try:
        asyncio.run(request())
        wrappers = connections_of_requests()
    finally:
        gc.enable()

    assert wrappers
    assert [wrapper for wrapper in wrappers if wrapper.connection] == []
