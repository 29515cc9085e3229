"""The ports of `make dev`: each is checked before anything starts."""

import errno
import re
import socket
from collections.abc import Collection

from config.dev import CannotStartError
from config.settings.env import BASE_DIR, env

HOST = "127.0.0.1"
PORTS = range(1, 65536)
PRIVILEGED = 1023  # only root may open these and those below


def check_ports() -> dict[str, int]:
    """Return PORT, and each port that the Procfile names in the form ${ANY_PORT:-1234}.

    Raises:
        CannotStartError: one is not a port, or cannot be opened; it names all of them.
    """
    procfile = (BASE_DIR / "Procfile").read_text()
    named = re.findall(r"\$\{(\w+_PORT):-(\d+)\}", procfile)
    ports = {name: port_of(name, int(default)) for name, default in [("PORT", 8000), *named]}
    faults = {name: fault for name, port in ports.items() if (fault := fault_of(port))}
    if faults:
        free = [f"{name}={free_port_above(ports[name], ports.values())}" for name in faults]
        reasons = "; ".join(f"Port {ports[name]}: {fault}" for name, fault in faults.items())
        others = "another" if len(free) == 1 else "others"
        raise CannotStartError(f"{reasons}: choose {others}: make dev {' '.join(free)}")
    return ports


def port_of(name: str, default: int) -> int:
    """Return the port that a variable of the environment gives.

    Raises:
        CannotStartError: it is not a port.
    """
    text = env.str(name, default=str(default))
    port = int(text) if text.isdecimal() else 0
    if port not in PORTS:
        raise CannotStartError(f"{name}={text}: not a port: use a number from 1 to 65535")
    return port


def fault_of(port: int) -> str:
    """Return why a port cannot be opened, or an empty string."""
    try:
        socket.create_server((HOST, port)).close()
    except OSError as error:
        in_use = error.errno == errno.EADDRINUSE
        return "in use by another program" if in_use else f"cannot be opened ({error.strerror})"
    return ""


def free_port_above(port: int, taken: Collection[int]) -> int:
    """Return a port above another that no program listens on, and none of `taken`."""
    above = range(max(port, PRIVILEGED) + 1, PORTS.stop)
    return next((each for each in above if each not in taken and not fault_of(each)), free_port())


def free_port() -> int:
    """Return a port that no program listens on."""
    with socket.create_server((HOST, 0)) as probe:
        return int(probe.getsockname()[1])
