"""`manage.py healthcheck worker|beat`: whether the processes on this machine give signs of life.

The standard library only, and no Django: it runs every few seconds beside each process.
`durable/heartbeat.py` gives the signs.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

# Seconds. A worker gives a sign every 2 s and Beat every 5 s, or every 10 s while the broker hangs;
# with one look every 10 s, a fault shows within 30 s.
LONGEST_SILENCE = 15.0
WELL = "well"
WAITING = "waits for its broker"


def directory() -> Path:
    """Return where the signs are: HEALTH_DIRECTORY, or a temporary folder named after the project's."""
    project = Path(__file__).resolve().parents[2]
    default = Path(tempfile.gettempdir(), "-".join(("health", *project.parts[1:])))
    return Path(os.environ.get("HEALTH_DIRECTORY") or default)


def sign_of(kind: str, name: str) -> Path:
    """Return the file of one process.

    Args:
        kind: worker or beat.
        name: what sets it apart on its machine: the node's name of a worker, the host of a Beat.
    """
    return directory() / f"{kind}-{name.replace(os.sep, '_')}"


def fault_of(sign: Path, silence: float, *, alive: bool) -> str:
    """Say what is wrong with the process that gives this sign, or nothing."""
    try:
        age, state = abs(time.time() - sign.stat().st_mtime), sign.read_text(encoding="utf-8")
    except OSError as error:
        return f"{sign.name}: no sign of life: {error}: start it"
    if age > silence:
        return f"{sign.name}: no sign of life for {age:.0f} s in {sign}: it hangs or was killed: restart it"
    if state != WELL and not alive:
        return f"{sign.name}: {state}: look at Redis; the process comes back by itself"
    return ""


def faults(kind: str, name: str, silence: float, *, alive: bool) -> Iterator[str]:
    """Yield a line for each process that is not well, or for there being none."""
    signs = [sign_of(kind, name)] if name else sorted(directory().glob(f"{kind}-*"))
    if not signs:
        yield f"{kind}: none has given a sign of life in {directory()}: start it, with the same HEALTH_DIRECTORY"
    yield from filter(None, (fault_of(sign, silence, alive=alive) for sign in signs))


def main(arguments: list[str]) -> int:
    """Print what is found; return the exit code, 0 if all is well."""
    parser = argparse.ArgumentParser("manage.py healthcheck", description=__doc__)
    parser.add_argument("kind", choices=("worker", "beat"))
    parser.add_argument("--name", default="", help="one process; by default all of this machine")
    parser.add_argument("--alive", action="store_true", help="waiting for the broker is no fault")
    parser.add_argument(
        "--silence", type=float, default=LONGEST_SILENCE, help="seconds (default: %(default)g)"
    )
    options = parser.parse_args(arguments)
    found = list(faults(options.kind, options.name, options.silence, alive=options.alive))
    print("\n".join(found) or f"{options.kind}: well")  # noqa: T201 - the answer of a command
    return 1 if found else 0
