"""A way to Redis on which connections can die without a word."""

import asyncio
import threading
from types import TracebackType
from typing import Self


class Proxy(threading.Thread):
    """Passes on what it gets, until it is told to lose the connections that there are.

    Args:
        target: the port of the server behind it.
    """

    def __init__(self, target: int) -> None:
        super().__init__(daemon=True)
        self.target, self.generation = target, 0
        self.loop, self.listens = asyncio.new_event_loop(), threading.Event()

    def __enter__(self) -> Self:
        self.start()
        self.listens.wait()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.join()

    def lose_connections(self) -> None:
        """From now on, nothing passes on the connections that there are; new ones work."""
        self.generation += 1

    def run(self) -> None:
        """Listen until the end."""
        server = self.loop.run_until_complete(asyncio.start_server(self.connect, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self.listens.set()
        self.loop.run_forever()
        server.close()

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Connect both sides."""
        generation = self.generation
        to, back = await asyncio.open_connection("127.0.0.1", self.target)
        await asyncio.gather(
            self.pass_on(reader, back, generation), self.pass_on(to, writer, generation)
        )

    async def pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, generation: int
    ) -> None:
        """Pass on bytes of one direction, or drop them once the connection is lost."""
        try:
            while data := await reader.read(65536):
                if generation == self.generation:
                    writer.write(data)
        except ConnectionError:
            pass
        if generation == self.generation:
            writer.close()
