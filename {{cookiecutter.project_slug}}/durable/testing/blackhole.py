"""A TCP proxy whose network can vanish silently: no reset, no refusal, no answer."""

import socket
from contextlib import suppress
from threading import Event, Thread
from typing import Self


class Blackhole:
    """Forwards bytes to a server until `swallow` is called.

    Args:
        host, port: the server.
    """

    def __init__(self, host: str, port: int) -> None:
        self.server = (host, port)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.lost = Event()  # of the connections that are made now
        self.swallows_new = False
        self.sockets: list[socket.socket] = []
        Thread(target=self.accept, daemon=True).start()

    def swallow(self, *, new: bool = False) -> None:
        """Lose all open connections for good; with `new`, also those that are made from now on."""
        self.lost.set()
        self.lost = Event()
        self.swallows_new = new

    def restore(self) -> None:
        """Forward new connections again; lost ones stay lost."""
        self.swallow()

    def close(self) -> None:
        """Refuse new connections and close all others."""
        for each in (self.listener, *self.sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits for it
            each.close()

    def accept(self) -> None:
        """Connect each client to the server, or leave it waiting."""
        with suppress(OSError):  # closed
            while True:
                client, _ = self.listener.accept()
                self.sockets.append(client)
                if not self.swallows_new:
                    self.connect(client, self.lost)

    def connect(self, client: socket.socket, lost: Event) -> None:
        """Forward in both directions, each in a thread; close the client if the server refuses."""
        try:
            server = socket.create_connection(self.server)
        except OSError:
            client.close()
            return
        self.sockets.append(server)
        for ends in ((client, server), (server, client)):
            Thread(target=forward, args=(*ends, lost), daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def forward(source: socket.socket, target: socket.socket, lost: Event) -> None:
    """Forward the bytes of one side and its end, unless the connection is lost."""
    with suppress(OSError):  # the other side is gone
        while data := source.recv(65536):
            if not lost.is_set():
                target.sendall(data)
    if not lost.is_set():
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)
