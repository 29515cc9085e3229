"""`manage.py healthcheck worker|beat`: check the heartbeats of the processes on this machine.

It runs every few seconds beside each process, so it imports the standard library only, and no Django.
`durable/heartbeat.py` writes the files that it reads.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

from durable.heartbeat import RUNNING, WAITING, WAITING_FOR_DATABASE, directory, file_of

# Seconds. A worker beats every 2 s and Beat every 5 s, or every 10 s while the broker hangs;
# with one check every 10 s, a fault shows within 30 s.
HEARTBEAT_TIMEOUT = 15.0
WHAT_TO_DO = {
    WAITING: "check Redis; the process recovers by itself",
    WAITING_FOR_DATABASE: "check the database; the process recovers by itself",
}


def find_fault(file: Path, timeout: float, *, alive: bool) -> str:
    """Return what is wrong with the process of this heartbeat file, or an empty string."""
    try:
        age, state = abs(time.time() - file.stat().st_mtime), file.read_text(encoding="utf-8")
    except OSError as error:
        return f"{file.name}: no heartbeat: {error}: start the process"
    if age > timeout:
        return f"{file.name}: last heartbeat {age:.0f} s ago in {file}: the process hangs or was killed: restart it"
    if state != RUNNING and not alive:
        return f"{file.name}: {state}: {WHAT_TO_DO.get(state, 'read its log')}"
    return ""


def find_faults(kind: str, name: str, timeout: float, *, alive: bool) -> Iterator[str]:
    """Yield a line for each process that fails the check, or one line if no process was found."""
    files = [file_of(kind, name)] if name else sorted(directory().glob(f"{kind}-*"))
    if not files:
        yield f"{kind}: no heartbeat file in {directory()}: start the process, with the same HEALTH_DIRECTORY"
    yield from filter(None, (find_fault(file, timeout, alive=alive) for file in files))


def main(arguments: list[str]) -> int:
    """Print the result; return the exit code, 0 if every process passed."""
    parser = argparse.ArgumentParser(
        "manage.py healthcheck",
        description="Check the heartbeats of the processes on this machine.",
    )
    parser.add_argument("kind", choices=("worker", "beat"))
    parser.add_argument(
        "--name", default="", help="check one process (default: all on this machine)"
    )
    parser.add_argument("--alive", action="store_true", help="check only the age of the heartbeat")
    parser.add_argument(
        "--timeout",
        type=float,
        default=HEARTBEAT_TIMEOUT,
        help="seconds since the last heartbeat before a process fails (default: %(default)g)",
    )
    options = parser.parse_args(arguments)
    found = list(find_faults(options.kind, options.name, options.timeout, alive=options.alive))
    print("\n".join(found) or f"{options.kind}: {RUNNING}")  # noqa: T201 - the answer of a command
    return 1 if found else 0
