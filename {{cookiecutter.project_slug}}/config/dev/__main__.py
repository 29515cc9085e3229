"""`python -m config.dev`: check what is needed, then run everything."""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from config.dev import CannotStartError
from config.dev.ports import check_ports
from config.dev.processes import run_procfile
from config.dev.redis import published_url, redis_url
from config.settings.env import BASE_DIR, VAR_DIR, env


def main() -> int:
    """Run everything until Ctrl-C, SIGTERM, or the exit of one of the processes.

    Returns:
        0 after Ctrl-C or SIGTERM, else 1.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # A terminal that closes sends SIGHUP.
    signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    env.read_env(BASE_DIR / ".env")
    try:
        with single_run() as lock:
            ports = check_ports()
            with redis_url(lock) as url, published_url(url):
                migrate(processes_environment(os.environ, ports, url))
                print("Starting, which takes some seconds.", flush=True)
                run_procfile(processes_environment(os.environ, ports, url))
                return 0
    except CannotStartError as reason:
        print(reason, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


@contextmanager
def single_run() -> Iterator[int]:
    """Lock this project's `make dev`, and yield the lock's file descriptor.

    Raises:
        CannotStartError: another run holds the lock.
    """
    VAR_DIR.mkdir(exist_ok=True)
    with (VAR_DIR / "dev.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotStartError(
                "make dev: this project is already running, maybe in another terminal: stop it there"
            ) from None
        yield lock.fileno()


def processes_environment(
    environment: Mapping[str, str], ports: Mapping[str, int], url: str
) -> dict[str, str]:
    """Return the environment of the Procfile's processes.

    Args:
        environment: the environment of this process.
        ports: those that the processes listen on, by their variables.
        url: the URL of Redis.
    """
    programs = Path(sys.executable).parent
    defaults = {
        "DJANGO_SETTINGS_MODULE": "config.settings.local",
        "FRONTEND_URL": f"http://localhost:{ports['PORT']}",
        # The processes share this terminal, so the debugger waits on a port that it prints.
        "PYTHONBREAKPOINT": "celery.contrib.rdb.set_trace",
        "PYTHONUNBUFFERED": "1",
        # A worker that stops requeues its running tasks at once, so a stop is quick.
        "REMAP_SIGTERM": "SIGQUIT",
        "WORKER_SOFT_SHUTDOWN_TIMEOUT": "0",  # seconds
    }
    return defaults | {
        **environment,
        "PATH": f"{programs}{os.pathsep}{environment.get('PATH', os.defpath)}",
        **{name: str(port) for name, port in ports.items()},
        "REDIS_URL": url,
    }


def migrate(environment: Mapping[str, str]) -> None:
    """Apply the migrations.

    Raises:
        CannotStartError: one failed.
    """
    command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    if subprocess.run(command, cwd=BASE_DIR, env=environment, check=False).returncode:
        raise CannotStartError("make dev: `make migrate` failed: see its last lines above")


if __name__ == "__main__":
    sys.exit(main())
