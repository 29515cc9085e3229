"""Heartbeat files of workers and of Beat, for `manage.py healthcheck` and for systemd's watchdog.

A worker beats with each of Celery's heartbeats (every 2 s while it is connected to its broker), and with
each failed attempt to connect. So a worker that waits for Redis and recovers by itself is not
mistaken for one that hangs and must be restarted.

The standard library only: `durable/health/cli.py` imports this module and must start fast.
"""

import atexit
import logging
import os
import signal
import socket
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger(__name__)

RUNNING = "running"
WAITING = "waiting for the broker"
WAITING_FOR_DATABASE = "waiting for the database"


@dataclass
class Process:
    """The process that beats: a worker's main process or Beat, and none of their children."""

    pid: int = 0
    file: Path = Path()


process = Process()


def directory() -> Path:
    """Return the folder of the heartbeat files: HEALTH_DIRECTORY, or a temporary folder named after the project's."""
    project = Path(__file__).resolve().parents[1]
    default = Path(tempfile.gettempdir(), "-".join(("health", *project.parts[1:])))
    return Path(os.environ.get("HEALTH_DIRECTORY") or default)


def file_of(kind: str, name: str) -> Path:
    """Return the heartbeat file of one process.

    Args:
        kind: worker or beat.
        name: unique on its machine: a worker's node name, or Beat's host name.
    """
    return directory() / f"{kind}-{name.replace(os.sep, '_')}"


def start(kind: str, name: str) -> None:
    """Let this process beat from now on; see `file_of` for the arguments. Its file is removed at a clean exit."""
    process.pid, process.file = os.getpid(), file_of(kind, name)
    # Twice: a signal that arrives as soon as the first call begins ends that call.
    for _ in range(2):
        atexit.register(remove, process.file)


def remove(file: Path) -> None:
    """Remove the file of a process that exits cleanly, so that no check misses it.

    A second stop signal must not interrupt this: Celery's handlers raise in whatever code runs.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    with suppress(OSError):
        file.unlink()


def beat(state: str = RUNNING) -> None:
    """Record that this process works, if it has called `start`.

    Args:
        state: RUNNING, or in a few words what is wrong.
    """
    if process.pid != os.getpid():
        return
    state = " ".join(state.split())
    try:
        write(process.file, state)
        notify_systemd(state)
    except OSError as error:
        logger.warning(
            "heartbeat_not_written", extra={"path": str(process.file), "error": str(error)}
        )


def write(file: Path, state: str) -> None:
    """Replace the file atomically, so that no check reads half of it, and never write through a symbolic link."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = file.with_name(f".{file.name}")
    new.unlink(missing_ok=True)
    with new.open("x", encoding="utf-8") as stream:
        stream.write(state)
    new.replace(file)


def notify_systemd(state: str) -> None:
    """Reset systemd's watchdog, if this process is a unit of Type=notify (see sd_notify(3))."""
    if address := os.environ.get("NOTIFY_SOCKET"):
        if address.startswith("@"):
            address = f"\0{address[1:]}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
            systemd.sendto(f"READY=1\nWATCHDOG=1\nSTATUS={state}".encode(), address)
