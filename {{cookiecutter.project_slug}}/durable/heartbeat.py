"""Signs of life of a worker or of Beat, for `manage.py healthcheck` and for systemd's watchdog.

A worker gives one with each heartbeat (every 2 s while it has its broker, also without events),
and with each failed attempt to reach its broker. So one that waits for Redis, and comes back by
itself, can be told from one that hangs and has to be restarted.
"""

import atexit
import os
import signal
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog
from celery import signals

from durable.health.cli import WAITING, WELL, sign_of

logger = structlog.get_logger(__name__)


@dataclass
class Process:
    """The process that gives signs: a worker's main process or Beat, and none of their children."""

    pid: int = 0
    sign: Path = Path()


process = Process()


def begin(kind: str, name: str) -> None:
    """Give signs of life from now on, until this process has ended in good order."""
    process.pid, process.sign = os.getpid(), sign_of(kind, name)
    # Again, for a signal that comes as soon as it is called ends the first.
    for _ in range(2):
        atexit.register(end, process.sign)


def end(sign: Path) -> None:
    """Remove the sign: what has ended in good order is missed by nobody.

    Who stops a process may do so twice, and Celery's handlers raise wherever they are called.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    with suppress(OSError):
        sign.unlink()


@signals.celeryd_init.connect
def begin_worker(sender: str, **_: object) -> None:
    """Remember the node's name, which `Celery` gives as the sender."""
    begin("worker", sender)


@signals.beat_init.connect
def begin_beat(**_: object) -> None:
    """Remember that this is Beat; `DeclaredScheduler.tick` gives the signs."""
    begin("beat", socket.gethostname())


@signals.heartbeat_sent.connect
def give_sign(state: str = WELL, **_: object) -> None:
    """Show that the main process works, if this is one that is looked at."""
    if process.pid != os.getpid():
        return
    try:
        write(process.sign, state)
        tell_systemd(state)
    except OSError as error:
        logger.warning("no_sign_of_life", path=str(process.sign), error=str(error))


def waits_for_broker() -> None:
    """Show that the main process works, and has no broker."""
    give_sign(WAITING)


def write(sign: Path, state: str) -> None:
    """Replace the file at once, so that nobody reads half of it or is led elsewhere by a link."""
    sign.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = sign.with_name(f".{sign.name}")
    new.unlink(missing_ok=True)
    with new.open("x", encoding="utf-8") as file:
        file.write(state)
    new.replace(sign)


def tell_systemd(state: str) -> None:
    """Answer systemd's watchdog, where this process is a unit of Type=notify (see sd_notify(3))."""
    if address := os.environ.get("NOTIFY_SOCKET"):
        if address.startswith("@"):
            address = f"\0{address[1:]}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
            systemd.sendto(f"READY=1\nWATCHDOG=1\nSTATUS={state}".encode(), address)
