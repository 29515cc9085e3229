"""The socket, through the web server, the application and the Redis that production has."""

import time

import pytest
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.contrib.auth import get_user_model
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from apps.live.consumers import NOT_SIGNED_IN
from apps.live.groups import group_of
from tests.servers import free_port
from tests.workers import Program

pytestmark = pytest.mark.django_db(transaction=True)

PORT = free_port()
QUIET = 0.2  # seconds in which a message would have come

web = Program(
    *("uvicorn", "config.asgi:application", "--port", str(PORT)), "--log-level", "warning"
)


@pytest.fixture(scope="module")
def server(django_db_setup):
    """The address of the web server, started by the same command as in production."""
    web.wait(PORT)
    yield f"localhost:{PORT}"
    web.stop()


@pytest.fixture
def ann():
    return get_user_model().objects.create_user("ann@example.com", "a long password")


@pytest.fixture
def open_socket(server, client):
    """A function that opens a socket with the browser's cookies."""

    def open_socket(origin=f"http://{server}"):
        cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
        headers = {"Cookie": cookies} if cookies else {}
        return connect(f"ws://{server}/ws/live/", origin=origin, additional_headers=headers)

    return open_socket


def tell(group):
    message = {"type": "live.message", "content": {"unread": 3}}
    async_to_sync(get_channel_layer().group_send)(group, message)


def test_a_user_hears_what_is_sent_to_their_group(client, ann, open_socket):
    client.force_login(ann)

    with open_socket() as opened:
        time.sleep(QUIET)  # until the server has joined the group
        tell(group_of(ann))

        assert opened.recv(timeout=5) == '{"unread": 3}'


def test_nobody_hears_what_is_sent_to_another(client, ann, open_socket):
    client.force_login(ann)

    with open_socket() as opened:
        time.sleep(QUIET)
        tell("user.0")

        with pytest.raises(TimeoutError):
            opened.recv(timeout=QUIET)


def test_a_stranger_is_told_to_sign_in(open_socket):
    with open_socket() as opened, pytest.raises(ConnectionClosed) as closed:
        opened.recv(timeout=5)

    assert closed.value.rcvd.code == NOT_SIGNED_IN


def test_a_page_of_another_site_is_refused(client, ann, open_socket):
    client.force_login(ann)

    with pytest.raises(InvalidStatus, match="403"):
        open_socket("https://evil.example")
