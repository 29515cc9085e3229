"""The consumer of the WebSocket at /ws/live/."""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import structlog
from asgiref.sync import sync_to_async
from channels.auth import get_user
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.conf import settings
from django.db import Error as DatabaseError
from redis.exceptions import RedisError

from apps.live import connection_limit
from apps.live.groups import groups_for
from apps.notifications.services import count_unread
from apps.users.models import User
from durable.api import work_version

logger = structlog.get_logger(__name__)

# Close codes. Those of this service (RFC 6455, section 7.4.2) are like HTTP's 401 and 429.
NOT_LOGGED_IN = 4401
TOO_MANY = 4429
RECONNECT = 1012
CONSOLE = b"console"  # the query of a page of the console


class LiveConsumer(AsyncJsonWebsocketConsumer):  # type: ignore[misc]
    """One open page of a logged-in user. It only receives messages."""

    slot = ""
    tasks: tuple[asyncio.Task[None], ...] = ()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve the socket; close it if the channel layer fails, so that the page reconnects."""
        self.joined: list[str] = []
        try:
            await super().__call__(scope, receive, send)
        except RedisError as error:
            logger.warning("live_socket_closed", error=str(error))
            await send({"type": "websocket.close", "code": RECONNECT})
        finally:
            await self.leave()

    async def connect(self) -> None:
        """Acquire a slot, join the user's groups and say hello, or close the socket with a code.

        The socket is accepted first: a page cannot read the reason of a rejected handshake.
        """
        await self.accept()
        user = self.scope["user"]
        if not user.is_authenticated:
            await self.close(NOT_LOGGED_IN)
            return
        self.slot = await sync_to_async(connection_limit.acquire)(user.pk) or ""
        if not self.slot:
            await self.close(TOO_MANY)
            return
        await self.join(groups_for(user))
        self.tasks = (asyncio.create_task(self.send_pings()),)
        if self.scope["query_string"] == CONSOLE and await database_sync_to_async(sees_console)(
            user
        ):
            self.tasks += (asyncio.create_task(self.send_changes()),)
        # Counted after joining, so that no notification is missed in between.
        unread = await database_sync_to_async(count_unread)(user.pk)
        await self.send_json(
            {"type": "hello", "unread": unread, "ping": settings.LIVE_PING_INTERVAL}
        )

    async def join(self, groups: list[str]) -> None:
        for group in groups:
            await self.channel_layer.group_add(group, self.channel_name)
            self.joined.append(group)

    async def leave(self) -> None:
        """Stop the tasks, leave all groups and release the slot."""
        for task in self.tasks:
            task.cancel()
        while self.joined:
            with suppress(RedisError):  # without Redis there are no groups
                await self.channel_layer.group_discard(self.joined.pop(), self.channel_name)
        if self.slot:
            await sync_to_async(connection_limit.release)(self.slot)
            self.slot = ""

    async def receive(self, text_data: Any = None, bytes_data: Any = None, **_: Any) -> None:
        """Ignore all input: pages act by HTTP requests."""

    async def live_message(self, event: dict[str, Any]) -> None:
        """Forward a group's message `{"type": "live.message", "content": …}` to the page."""
        await self.send_json(event["content"])

    async def send_pings(self) -> None:
        """Send pings to this consumer through Redis: a page that gets them also gets messages."""
        while True:
            await asyncio.sleep(settings.LIVE_PING_INTERVAL)
            with suppress(RedisError, TimeoutError):
                async with asyncio.timeout(settings.LIVE_PING_INTERVAL):
                    await self.channel_layer.send(self.channel_name, {"type": "live.ping"})

    async def send_changes(self) -> None:
        """Notify a page of the console of changed work, at most once per LIVE_CONSOLE_INTERVAL."""
        known = ""
        while True:
            with suppress(DatabaseError):  # read again after the pause
                version = await database_sync_to_async(newest_version)()
                if known not in {"", version}:
                    await self.send_json({"type": "console"})
                known = version
            await asyncio.sleep(settings.LIVE_CONSOLE_INTERVAL)

    async def live_ping(self, _event: dict[str, Any]) -> None:
        """Forward a ping to the page, unless the user's session or groups have changed."""
        if code := await self.close_code():
            await self.leave()
            await self.close(code)
            return
        await sync_to_async(connection_limit.renew)(self.slot)
        await self.send_json({"type": "ping"})

    async def close_code(self) -> int | None:
        """Return a close code if the session has ended, the user is inactive or the groups changed."""
        store = import_module(settings.SESSION_ENGINE).SessionStore
        try:
            user = await get_user({"session": store(self.scope["session"].session_key)})
        except DatabaseError:
            return None  # checked again at the next ping
        if not user.is_authenticated:
            return NOT_LOGGED_IN
        return None if groups_for(user) == self.joined else RECONNECT


@dataclass
class Reading:
    """What this process has last read for all its pages."""

    version: str = ""
    until: float = 0.0


reading = Reading()


def newest_version() -> str:
    """Return `work_version`, read at most twice in LIVE_CONSOLE_INTERVAL, however many pages are open."""
    if time.monotonic() >= reading.until:
        try:
            reading.version = work_version()
        finally:  # after an error, too: otherwise each page waits for the database in turn
            reading.until = time.monotonic() + settings.LIVE_CONSOLE_INTERVAL / 2
    return reading.version


def sees_console(user: User) -> bool:
    """Return whether a user can see the console."""
    return user.is_staff and user.has_perm("console.view_console")
