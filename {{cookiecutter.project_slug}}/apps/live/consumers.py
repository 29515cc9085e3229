"""The server's side of the socket at /ws/live/."""

import asyncio
from contextlib import suppress
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

from apps.live import places
from apps.live.groups import groups_for
from apps.notifications.services import count_unread

logger = structlog.get_logger(__name__)

# Close codes. Those of our own (RFC 6455, section 7.4.2) are named after HTTP's 401 and 429.
NOT_SIGNED_IN = 4401
TOO_MANY = 4429
COME_AGAIN = 1012


class LiveConsumer(AsyncJsonWebsocketConsumer):  # type: ignore[misc]
    """One open page of a signed-in user; it is told things and says nothing."""

    place = ""
    pings: asyncio.Task[None] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve the socket, or close it if the channel layer fails: the page comes again."""
        self.joined: list[str] = []
        try:
            await super().__call__(scope, receive, send)
        except RedisError as error:
            logger.warning("live_socket_refused", error=str(error))
            await send({"type": "websocket.close", "code": COME_AGAIN})
        finally:
            await self.leave()

    async def connect(self) -> None:
        """Take a place, join the user's groups and say hello, or close with a code that says why.

        Accepting first lets the page see that code; a refused handshake only looks like a failure.
        """
        await self.accept()
        user = self.scope["user"]
        if not user.is_authenticated:
            await self.close(NOT_SIGNED_IN)
            return
        self.place = await sync_to_async(places.take)(user.pk) or ""
        if not self.place:
            await self.close(TOO_MANY)
            return
        await self.join(groups_for(user))
        # Counted after joining, so that nothing falls between the two.
        unread = await database_sync_to_async(count_unread)(user.pk)
        await self.send_json(
            {"type": "hello", "unread": unread, "ping": settings.LIVE_PING_INTERVAL}
        )
        self.pings = asyncio.create_task(self.send_pings())

    async def join(self, groups: list[str]) -> None:
        """Hear what is sent to these groups."""
        for group in groups:
            await self.channel_layer.group_add(group, self.channel_name)
            self.joined.append(group)

    async def leave(self) -> None:
        """Hear nothing any more, and make room for another page."""
        if self.pings:
            self.pings.cancel()
        while self.joined:
            with suppress(RedisError):  # without Redis there is nothing to leave
                await self.channel_layer.group_discard(self.joined.pop(), self.channel_name)
        if self.place:
            await sync_to_async(places.give_back)(self.place)
            self.place = ""

    async def receive(self, text_data: Any = None, bytes_data: Any = None, **_: Any) -> None:
        """Ignore what the page says, unread: everything it may do has a URL."""

    async def live_message(self, event: dict[str, Any]) -> None:
        """Pass on what was sent to the group as `{"type": "live.message", "content": …}`."""
        await self.send_json(event["content"])

    async def send_pings(self) -> None:
        """Send to oneself, through Redis: a page that hears the ping would hear a message too."""
        while True:
            await asyncio.sleep(settings.LIVE_PING_INTERVAL)
            with suppress(RedisError, TimeoutError):
                async with asyncio.timeout(settings.LIVE_PING_INTERVAL):
                    await self.channel_layer.send(self.channel_name, {"type": "live.ping"})

    async def live_ping(self, _event: dict[str, Any]) -> None:
        """Give the page a sign of life, unless its user is no longer who they were."""
        if code := await self.reason_to_close():
            await self.leave()
            await self.close(code)
            return
        await sync_to_async(places.renew)(self.place)
        await self.send_json({"type": "ping"})

    async def reason_to_close(self) -> int | None:
        """Return the close code if the user has signed out, was deactivated, or joined or left the staff."""
        store = import_module(settings.SESSION_ENGINE).SessionStore
        try:
            user = await get_user({"session": store(self.scope["session"].session_key)})
        except DatabaseError:
            return None  # asked again at the next ping
        if not user.is_authenticated:
            return NOT_SIGNED_IN
        return None if groups_for(user) == self.joined else COME_AGAIN
