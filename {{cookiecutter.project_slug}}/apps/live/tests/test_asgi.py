import subprocess
import sys

import pytest

REQUESTS = """
import asyncio
import gc

from asgiref.testing import ApplicationCommunicator
from django.db.backends.base.base import BaseDatabaseWrapper

from config.asgi import application

SCOPE = {
    "type": "http",
    "method": "GET",
    "path": "/notifications/",
    "headers": [(b"host", b"localhost"), (b"cookie", b"sessionid=0123456789abcdef")],
}


async def ask():
    page = ApplicationCommunicator(application, dict(SCOPE))
    await page.send_input({"type": "http.request"})
    assert (await page.receive_output(10))["status"] == 302
    await page.receive_output(10)
    await page.wait(10)


gc.disable()
for _ in range(5):
    asyncio.run(ask())
connections = [each for each in gc.get_objects() if issubclass(type(each), BaseDatabaseWrapper)]
assert connections
print(sum(each.connection is not None for each in connections))
"""


@pytest.mark.django_db
def test_no_request_leaves_a_connection_to_the_database_behind():
    printed = subprocess.check_output([sys.executable, "-c", REQUESTS], text=True)

    assert printed.split() == ["0"]
