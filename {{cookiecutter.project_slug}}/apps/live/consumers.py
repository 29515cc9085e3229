"""The server's side of the socket at /ws/live/."""

from typing import Any

from channels.generic.websocket import AsyncJsonWebsocketConsumer

from apps.live.groups import group_of

NOT_SIGNED_IN = 4401  # close code of our own (RFC 6455, section 7.4.2), after HTTP's 401


class LiveConsumer(AsyncJsonWebsocketConsumer):  # type: ignore[misc]
    """One open page of a signed-in user; it is told things and says nothing."""

    group = ""

    async def connect(self) -> None:
        """Join the user's group, or close with NOT_SIGNED_IN.

        Accepting first lets the page see that code; a refused handshake only looks like a failure.
        """
        await self.accept()
        user = self.scope["user"]
        if not user.is_authenticated:
            await self.close(NOT_SIGNED_IN)
            return
        self.group = group_of(user)
        await self.channel_layer.group_add(self.group, self.channel_name)

    async def disconnect(self, code: int) -> None:
        """Leave the group."""
        if self.group:
            await self.channel_layer.group_discard(self.group, self.channel_name)

    async def receive_json(self, content: Any, **_: Any) -> None:
        """Ignore what the page says: everything it may do has a URL."""

    async def live_message(self, event: dict[str, Any]) -> None:
        """Pass on what was sent to the group as `{"type": "live.message", "content": …}`."""
        await self.send_json(event["content"])
