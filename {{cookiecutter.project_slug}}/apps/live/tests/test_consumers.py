"""The WebSocket, through uvicorn, the application and Redis."""

import json
import time
from contextlib import ExitStack

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.db import transaction
from django.db.models.functions import Now
from django.test import Client
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from apps.live.consumers import NOT_LOGGED_IN, RECONNECT, TOO_MANY
from apps.notifications.services import announce_to_staff, notify
from durable.api import TaskRun, save_progress
from durable.testing.servers import free_port
from durable.testing.workers import TIMEOUT, Program, wait_until

pytestmark = pytest.mark.django_db(transaction=True)

PORT = free_port()
PING = 0.1  # seconds

web = Program(
    *("uvicorn", "config.asgi:application", "--port", str(PORT)),
    *("--log-level", "warning"),
    LIVE_PING_INTERVAL=str(PING),
)


class Page:
    """An open page in a browser.

    Args:
        user: the user who is logged in, or None.
        query: of the socket's address.
    """

    def __init__(self, user=None, origin=f"http://localhost:{PORT}", query=""):
        self.user = user
        self.client = Client()
        if user:
            self.client.force_login(user)
        cookies = "; ".join(f"{name}={m.value}" for name, m in self.client.cookies.items())
        headers = {"Cookie": cookies} if cookies else {}
        self.opening = connect(
            f"ws://localhost:{PORT}/ws/live/{query}",
            origin=origin,
            additional_headers=headers,
            max_queue=None,  # otherwise it stops reading after some pings
        )

    def __enter__(self):
        self.socket = self.opening.__enter__()
        return self

    def __exit__(self, *error):
        self.opening.__exit__(*error)

    def next(self, *types, timeout=TIMEOUT):
        """Return the next message of these types, by default of any type but `ping`."""
        deadline = time.monotonic() + timeout
        while True:
            message = json.loads(self.socket.recv(max(0.0, deadline - time.monotonic())))
            if message["type"] in types or (not types and message["type"] != "ping"):
                return message

    def has_got_nothing(self):
        """Return whether the next message is a notification that is sent now."""
        notification = notify(self.user, "booking", "The first message")
        return self.next().get("id") == notification.pk

    def code(self):
        """Return the code that the server closes with."""
        with pytest.raises(ConnectionClosed) as closed:
            self.next("end")
        return closed.value.rcvd.code


@pytest.fixture(scope="module", autouse=True)
def server(django_db_setup):
    """The web server, started with production's command."""
    web.wait(PORT)
    yield
    web.stop()


@pytest.fixture
def bob():
    return get_user_model().objects.create_user("bob@example.com", "a long password")


@pytest.fixture
def open_page():
    """Opens a page and waits for its hello."""
    with ExitStack() as pages:

        def open_page(user, query=""):
            page = pages.enter_context(Page(user, query=query))
            page.hello = page.next("hello")
            return page

        yield open_page


def test_a_notification_reaches_all_pages_of_its_user_within_a_second(ann, open_page):
    pages = open_page(ann), open_page(ann)
    notification = notify(ann, "booking", "A new booking", url="/bookings/1/")

    expected = {
        "type": "notification",
        "id": notification.pk,
        "title": "A new booking",
        "url": "/bookings/1/",
        "unread": 1,
    }
    assert [page.next() for page in pages] == [expected, expected]


def test_pages_get_no_messages_of_other_users(ann, bob, open_page):
    page = open_page(bob)
    notify(ann, "booking", "A new booking")
    save_progress("task-of-ann", 1, 2, user_id=ann.pk)

    assert page.has_got_nothing()


def test_a_rollback_sends_nothing(ann, open_page):
    page = open_page(ann)
    with transaction.atomic():
        notify(ann, "booking", "A new booking")
        transaction.set_rollback(True)

    assert page.has_got_nothing()


def test_a_page_of_the_console_receives_a_change_within_three_seconds(admin_user, open_page):
    page, other = open_page(admin_user, "?console"), open_page(admin_user)
    time.sleep(1)  # until the consumer has looked once
    TaskRun.objects.create(name="tests.failing", status="failed", finished_at=Now())

    assert page.next(timeout=3) == {"type": "console"}
    assert other.has_got_nothing()


def test_users_without_the_permission_receive_no_changes(ann, open_page):
    page = open_page(ann, "?console")
    TaskRun.objects.create(name="tests.durable")
    time.sleep(2 * settings.LIVE_CONSOLE_INTERVAL)

    assert page.has_got_nothing()


def test_progress_reaches_the_user_of_its_task(ann, open_page):
    page = open_page(ann)
    save_progress("some-task", 1, 4, "a quarter")
    save_progress("some-task", 2, 4, "half of it", user_id=ann.pk)

    message = page.next()
    assert message.pop("seconds_left") < 5
    assert message == {
        "type": "progress",
        "task": "some-task",
        "percent": 50,
        "message": "half of it",
    }


def test_an_announcement_only_reaches_staff(ann, bob, open_page):
    get_user_model().objects.filter(pk=bob.pk).update(is_staff=True)
    bob.refresh_from_db()
    user, staff = open_page(ann), open_page(bob)
    announce_to_staff("A new submission", "/admin/")

    expected = {"type": "announcement", "title": "A new submission", "url": "/admin/"}
    assert staff.next() == expected
    assert user.has_got_nothing()


def test_hello_contains_the_number_of_unread_notifications(ann, open_page):
    notify(ann, "booking", "A new booking")
    notify(ann, "booking", "Another")

    assert open_page(ann).hello == {"type": "hello", "unread": 2, "ping": PING}


def test_a_page_over_the_limit_is_closed_until_another_page_closes(ann, bob, open_page):
    pages = [open_page(ann) for _ in range(settings.LIVE_SOCKETS_PER_USER)]
    with Page(ann) as extra:
        assert extra.code() == TOO_MANY
    open_page(bob)

    pages[0].socket.close()
    # Released, before it expires.
    wait_until(lambda: not cache.touch(f"live:{ann.pk}:0"))
    assert open_page(ann).hello


def test_an_open_page_renews_its_slot(ann, open_page):
    page = open_page(ann)
    cache.delete(f"live:{ann.pk}:0")

    page.next("ping")
    assert cache.get(f"live:{ann.pk}:0")


def log_out(page, user):
    page.client.logout()


def expire(page, user):
    Session.objects.all().delete()


def deactivate(page, user):
    get_user_model().objects.filter(pk=user.pk).update(is_active=False)


def change_password(page, user):
    user.set_password("another long password")
    user.save()


@pytest.mark.parametrize("end", [log_out, expire, deactivate, change_password])
def test_a_page_is_closed_soon_after_its_session_ends(ann, open_page, end):
    page = open_page(ann)
    page.next("ping")
    end(page, ann)

    assert page.code() == NOT_LOGGED_IN


def test_a_page_reconnects_after_its_user_joins_the_staff(ann, open_page):
    page = open_page(ann)
    get_user_model().objects.filter(pk=ann.pk).update(is_staff=True)

    assert page.code() == RECONNECT


def test_input_of_pages_is_ignored(ann, open_page):
    page = open_page(ann)
    page.socket.send("{")
    page.socket.send(b"\x00")

    assert page.next("ping")


def test_a_visitor_is_not_accepted():
    with Page() as page:
        assert page.code() == NOT_LOGGED_IN


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "ftp://localhost",
        "chrome-extension://localhost",
        "javascript://localhost",
        "//localhost",
        "null",
        "http://[localhost",
        "http://localhost:99999",
    ],
)
def test_a_page_of_another_site_is_rejected(ann, origin):
    with pytest.raises(InvalidStatus, match="403"), Page(ann, origin=origin):
        pass
