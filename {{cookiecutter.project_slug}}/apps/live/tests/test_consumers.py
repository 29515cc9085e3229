"""The socket, through the web server, the application and the Redis that production has."""

import json
import time
from contextlib import ExitStack

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.db import transaction
from django.test import Client
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from apps.live.consumers import COME_AGAIN, NOT_SIGNED_IN, TOO_MANY
from apps.notifications.services import announce_to_staff, notify
from durable.tasks.progress import save_progress
from durable.testing.servers import free_port
from durable.testing.workers import Program, wait_until

pytestmark = pytest.mark.django_db(transaction=True)

PORT = free_port()
PING = 0.2  # seconds

web = Program(
    *("uvicorn", "config.asgi:application", "--port", str(PORT)),
    *("--log-level", "warning"),
    LIVE_PING_INTERVAL=str(PING),
)


class Page:
    """A browser's open page of a user.

    Args:
        user: who has signed in, or None.
    """

    def __init__(self, user=None, origin=f"http://localhost:{PORT}"):
        self.user = user
        self.client = Client()
        if user:
            self.client.force_login(user)
        cookies = "; ".join(f"{name}={m.value}" for name, m in self.client.cookies.items())
        headers = {"Cookie": cookies} if cookies else {}
        self.opening = connect(
            f"ws://localhost:{PORT}/ws/live/",
            origin=origin,
            additional_headers=headers,
            max_queue=None,  # else it stops reading when many pings have come
        )

    def __enter__(self):
        self.socket = self.opening.__enter__()
        return self

    def __exit__(self, *error):
        self.opening.__exit__(*error)

    def hear(self, *kinds, timeout=5.0):
        """Return the next message that is of one of these kinds, or of none but a ping."""
        deadline = time.monotonic() + timeout
        while True:
            message = json.loads(self.socket.recv(max(0.0, deadline - time.monotonic())))
            if message["type"] in kinds or (not kinds and message["type"] != "ping"):
                return message

    def hears_no_ping(self, timeout):
        try:
            return not self.hear("ping", timeout=timeout)
        except TimeoutError:
            return True

    def has_heard_nothing(self):
        """Tell its user something, and return whether no message came before that."""
        notification = notify(self.user, "booking", "The first to be heard")
        return self.hear().get("id") == notification.pk

    def code(self):
        """Return the code that the server closes with."""
        with pytest.raises(ConnectionClosed) as closed:
            self.hear("end")
        return closed.value.rcvd.code


@pytest.fixture(scope="module", autouse=True)
def server(django_db_setup):
    """The web server, started by the same command as in production."""
    web.wait(PORT)
    yield
    web.stop()


@pytest.fixture
def bob():
    return get_user_model().objects.create_user("bob@example.com", "a long password")


@pytest.fixture
def open_page():
    """A function that opens a page and waits for its hello."""
    with ExitStack() as pages:

        def open_page(user):
            page = pages.enter_context(Page(user))
            page.hello = page.hear("hello")
            return page

        yield open_page


def test_a_notification_reaches_all_pages_of_its_user_within_a_second(ann, open_page):
    pages = open_page(ann), open_page(ann)
    notification = notify(ann, "booking", "A new booking", url="/bookings/1/")

    told = {
        "type": "notification",
        "id": notification.pk,
        "title": "A new booking",
        "url": "/bookings/1/",
        "unread": 1,
    }
    assert [page.hear(timeout=1) for page in pages] == [told, told]


def test_nobody_hears_what_is_for_another(ann, bob, open_page):
    page = open_page(bob)
    notify(ann, "booking", "A new booking")
    save_progress("some-task", 1, 2, user_id=ann.pk)

    assert page.has_heard_nothing()


def test_what_is_rolled_back_reaches_nobody(ann, open_page):
    page = open_page(ann)
    with transaction.atomic():
        notify(ann, "booking", "A new booking")
        transaction.set_rollback(True)

    assert page.has_heard_nothing()


def test_whoever_waits_for_a_task_hears_how_far_it_is(ann, open_page):
    page = open_page(ann)
    save_progress("some-task", 1, 4, "a quarter")
    save_progress("some-task", 2, 4, "half of it", user_id=ann.pk)

    told = page.hear(timeout=1)
    assert told.pop("seconds_left") < 5
    assert told == {
        "type": "progress",
        "task": "some-task",
        "percent": 50,
        "message": "half of it",
    }


def test_an_announcement_reaches_the_staff_only(ann, bob, open_page):
    get_user_model().objects.filter(pk=bob.pk).update(is_staff=True)
    bob.refresh_from_db()
    user, staff = open_page(ann), open_page(bob)
    announce_to_staff("A new submission", "/admin/")

    told = {"type": "announcement", "title": "A new submission", "url": "/admin/"}
    assert staff.hear(timeout=1) == told
    assert user.has_heard_nothing()


def test_hello_tells_what_was_missed(ann, open_page):
    notify(ann, "booking", "A new booking")
    notify(ann, "booking", "Another")

    assert open_page(ann).hello == {"type": "hello", "unread": 2, "ping": PING}


def test_a_page_too_many_is_told_so_until_another_is_closed(ann, bob, open_page):
    pages = [open_page(ann) for _ in range(settings.LIVE_SOCKETS_PER_USER)]
    with Page(ann) as refused:
        assert refused.code() == TOO_MANY
    open_page(bob)

    pages[0].socket.close()
    # Given back: it does not just run out.
    wait_until(lambda: not cache.touch(f"live:{ann.pk}:0"))
    assert open_page(ann).hello


def test_a_place_is_kept_as_long_as_its_page_is_open(ann, open_page):
    page = open_page(ann)
    cache.delete(f"live:{ann.pk}:0")

    page.hear("ping")
    assert cache.get(f"live:{ann.pk}:0")


def sign_out(page, user):
    page.client.logout()


def expire(page, user):
    Session.objects.all().delete()


def deactivate(page, user):
    get_user_model().objects.filter(pk=user.pk).update(is_active=False)


def change_password(page, user):
    user.set_password("another long password")
    user.save()


@pytest.mark.parametrize("end", [sign_out, expire, deactivate, change_password])
def test_a_page_is_closed_soon_after_its_user_may_not_see_it(ann, open_page, end):
    page = open_page(ann)
    page.hear("ping")
    end(page, ann)

    assert page.code() == NOT_SIGNED_IN


def test_who_joins_the_staff_comes_again_to_hear_what_they_hear(ann, open_page):
    page = open_page(ann)
    get_user_model().objects.filter(pk=ann.pk).update(is_staff=True)

    assert page.code() == COME_AGAIN


def test_a_page_that_talks_nonsense_is_not_listened_to(ann, open_page):
    page = open_page(ann)
    page.socket.send("{")
    page.socket.send(b"\x00")

    assert page.hear("ping")


def test_a_stranger_is_told_to_sign_in():
    with Page() as page:
        assert page.code() == NOT_SIGNED_IN


def test_a_page_of_another_site_is_refused(ann):
    with (
        pytest.raises(InvalidStatus, match="403"),
        Page(ann, origin="https://evil.example"),
    ):
        pass


def test_a_page_outlives_redis_or_comes_again(ann, open_page, redis_server):
    page = open_page(ann)
    page.hear("ping")  # from then on, the server listens to Redis and sees it go
    redis_server.stop()
    with pytest.raises(InvalidStatus, match="403"), Page(ann):
        pass
    wait_until(lambda: page.hears_no_ping(PING))  # those from before are heard
    redis_server.restart()

    page.hear("ping")
    assert open_page(ann).hello
    notify(ann, "booking", "A new booking")
    assert page.hear("notification")


def test_without_redis_no_ping_comes(ann, open_page, redis_server):
    page = open_page(ann)
    redis_server.hang()

    wait_until(lambda: page.hears_no_ping(4 * PING))
