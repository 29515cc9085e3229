"""The ports of `make dev`: each is checked before anything starts."""

import errno
import re
import socket

from config.dev import CannotStartError
from config.settings.env import BASE_DIR, env

HOST = "127.0.0.1"


def check_ports() -> dict[str, int]:
    """Return PORT, and each port that the Procfile names in the form ${ANY_PORT:-1234}.

    Raises:
        CannotStartError: see `check_port`.
    """
    procfile = (BASE_DIR / "Procfile").read_text()
    named = re.findall(r"\$\{(\w+_PORT):-(\d+)\}", procfile)
    return {name: check_port(name, int(default)) for name, default in [("PORT", "8000"), *named]}


def check_port(name: str, default: int) -> int:
    """Return the port that a variable of the environment gives.

    Raises:
        CannotStartError: it is not a port, or another program uses it.
    """
    text = env.str(name, default=str(default))
    port = int(text) if text.isdecimal() else 0
    if port not in range(1, 65536):
        raise CannotStartError(f"{name}={text}: not a port: use a number from 1 to 65535")
    try:
        socket.create_server((HOST, port)).close()
    except OSError as error:
        in_use = error.errno == errno.EADDRINUSE
        reason = "in use by another program" if in_use else f"cannot be opened ({error.strerror})"
        other = max(port, default) + 1
        raise CannotStartError(
            f"Port {port}: {reason}: choose another: make dev {name}={other}"
        ) from None
    return port


def free_port() -> int:
    """Return a port that no program listens on."""
    with socket.create_server((HOST, 0)) as probe:
        return int(probe.getsockname()[1])
