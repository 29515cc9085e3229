"""An SMTP server that writes into the ledger what it took, and behaves as the ledger says.

`python sink.py PORT LEDGER_URL`. The ledger's key `smtp` says how it behaves:

- nothing: it takes the message.
- `hold`: it takes the message, and the sender never learns.
- `stall`: it does not answer, and takes nothing.
- `drop`: it closes the connection in place of an answer, and takes nothing.
- `slow`: it takes the message after a while.
- `drip`: its answer comes byte by byte, each within the sender's time-out, for as long as this is set.
- `451 text` and the like: it answers this, and takes nothing.

Who begins with `odd` is refused for good, which is an outcome too and is noted.
"""

import asyncio
import sys
from typing import Any

import redis
import uvloop
from aiosmtpd.smtp import SMTP

SLOW = 0.02  # seconds
DRIP = 0.2  # seconds between two bytes
FOR_EVER = 3600  # seconds


class Handler:
    """Decides what becomes of a message."""

    def __init__(self, ledger: Any) -> None:
        self.ledger = ledger

    async def handle_DATA(self, server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        """Answer as the ledger says."""
        manner = self.ledger.get("smtp") or "take"
        if manner[0].isdigit():
            return str(manner)
        if manner == "drop":
            server.transport.abort()
            return ""
        if manner == "stall":
            await asyncio.sleep(FOR_EVER)
        if manner == "drip":
            await self.drip(server.transport)
        if manner == "slow":
            await asyncio.sleep(SLOW)
        name = envelope.rcpt_tos[0].partition("@")[0]
        self.ledger.rpush("email", name)
        if manner == "hold":
            await asyncio.sleep(FOR_EVER)
        return "550 5.1.1 no such user" if name.startswith("odd") else "250 OK"

    async def drip(self, transport: Any) -> None:
        """Send the first line of an answer byte by byte; aiosmtpd sends the last one."""
        transport.write(b"250-")
        while self.ledger.get("smtp") == "drip":
            transport.write(b".")
            await asyncio.sleep(DRIP)
        transport.write(b"\r\n")


async def serve(port: int, ledger: Any) -> None:
    """Serve until killed."""
    loop = asyncio.get_running_loop()
    handler = Handler(ledger)
    server = await loop.create_server(lambda: SMTP(handler, loop=loop), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), redis.Redis.from_url(sys.argv[2], decode_responses=True)))
