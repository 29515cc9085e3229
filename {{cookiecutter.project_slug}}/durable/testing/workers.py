"""Real Celery workers for the tests, and other programs of the service.

One worker is started by the same command as in production, while other tests run. Those that tests start
are forked from a copy of the test process, which takes an eighth of the time.
"""

import gc
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from itertools import chain
from multiprocessing import Pipe
from pathlib import Path
from typing import NoReturn

import pytest
from celery import current_app
from django.conf import settings

from durable.testing.blackhole import Blackhole
from durable.testing.servers import redis, stack

# Workers need not know of each other; asking around costs a second at every start.
OPTIONS = ["--loglevel", "INFO", "--without-mingle", "--without-gossip"]
# Tasks that only tests have.
OPTIONS += ["--include", "durable.tests.probes"]
# Twice as many heartbeats: that they stopped shows in half the time.
OPTIONS += ["--heartbeat-interval", "1"]  # second
CONCURRENCY = 2  # processes
PATIENCE = 20.0  # seconds until a test that waits gives up
# Elsewhere, a copy of a process that has used the system's libraries may crash.
CAN_FORK = sys.platform == "linux"


def wait_until(condition: Callable[[], object], patience: float = PATIENCE) -> None:
    """Return once `condition` holds; fail the test after `patience` seconds."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"waited {patience:g} s for {condition}"
        time.sleep(0.02)


def exists(process: int) -> bool:
    """Whether a process is there."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def listens(address: str, port: int) -> bool:
    """Whether somebody listens on a port."""
    with socket.socket() as probe:
        return probe.connect_ex((address, port)) == 0


class Program:
    """A program that a test file declares as a global: it starts while tests of other files run.

    Args:
        arguments: of Python, from the module's name on.
        environment: variables that the tests themselves do not have.
    """

    def __init__(self, *arguments: str, **environment: str) -> None:
        self.arguments = arguments
        self.environment = environment

    def start(self) -> None:
        """Start the program; it ends with the run at the latest."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", *self.arguments],
            env={**os.environ, **self.environment},
            stderr=subprocess.PIPE,
            text=True,
        )
        stack.callback(self.stop)

    def wait(self, port: int) -> None:
        """Return once the program listens; fails with what it has printed if it has ended."""
        wait_until(lambda: self.process.poll() is not None or listens("127.0.0.1", port))
        assert self.process.poll() is None, self.process.communicate()[1]

    def stop(self) -> None:
        """End the program, which has nothing to lose."""
        self.process.kill()
        with self.process:
            pass  # closes its pipe


class Nursery:
    """A copy of the test process from before it has threads and connections; it starts workers."""

    def open(self) -> None:
        """Make the copy; it ends when the test process does."""
        self.ours, self.theirs = Pipe()
        if os.fork() == 0:
            try:
                self.serve()
            finally:
                os._exit(0)
        self.theirs.close()

    def serve(self) -> None:
        """Start the workers that the test process asks for."""
        os.setsid()  # Ctrl-C is for the test process
        os.environ |= {
            "LOG_LEVEL": "INFO",
            "REMAP_SIGTERM": "SIGQUIT",
        }  # Celery reads it when imported
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no dead worker stays a zombie
        self.ours.close()
        with suppress(EOFError):
            while request := self.theirs.recv():
                self.theirs.send(os.fork() or become_worker(*request))
                import_module("celery.bin.celery")  # for the next, while the first one starts

    def start(self, *request: object) -> int:
        """Start a worker, and return the id of its process and of its group."""
        self.ours.send(request)
        return int(self.ours.recv())


def become_worker(
    arguments: list[str], log: str, environment: dict[str, str], as_in_production: bool
) -> NoReturn:
    """Turn this process into a worker."""
    os.setsid()
    os.environ |= environment
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with Path(log).open("ab") as file:
        for standard in (1, 2):
            os.dup2(file.fileno(), standard)
    if as_in_production or not CAN_FORK:
        os.execv(sys.executable, [sys.executable, "-m", "celery", "-A", "config", *arguments])
    gc.freeze()  # or Celery collects the garbage of the tests, which takes longer than all the rest
    warnings.simplefilter("ignore")  # as to pytest they are errors
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    # Celery sets Django up again, and logging with it.
    settings.LOGGING["root"]["level"] = "INFO"  # type: ignore[index]
    try:
        current_app.worker_main(arguments)
    except BaseException:  # noqa: BLE001 - nothing may return to where the copy was made
        traceback.print_exc()
    finally:
        os._exit(1)


nursery = Nursery()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the caller do without production's command."""
    parser.addoption(
        "--fork-worker", action="store_true", help="fork the first worker like all others"
    )


def pytest_configure() -> None:
    """Open the nursery, once durable/testing/servers.py has set Django up."""
    if settings.configured:
        nursery.open()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start the programs of the files of which tests will run."""
    if not session.config.option.collectonly:
        modules = dict.fromkeys(getattr(item, "module", None) for item in session.items)
        for value in chain.from_iterable(vars(module).values() for module in modules if module):
            if isinstance(value, Program):
                value.start()


class Worker:
    """A worker that can be killed and started again.

    Args:
        queues: what it listens to, by default to all.
        concurrency: processes.
        hole: a proxy through which it reaches its broker.
    """

    def __init__(
        self, *queues: str, concurrency: int = CONCURRENCY, hole: Blackhole | None = None
    ) -> None:
        self.queues = queues or tuple(queue.name for queue in current_app.conf.task_queues)
        self.concurrency = concurrency
        self.hole = hole
        self.broker = {"CELERY_BROKER_URL": f"redis://127.0.0.1:{hole.port}/0"} if hole else {}

    def start(self, *, as_in_production: bool = False) -> None:
        """Start the worker; `wait` tells when it consumes."""
        self.log = tempfile.NamedTemporaryFile("r")  # noqa: SIM115 - lives as long as the worker
        listens = ["--queues", ",".join(self.queues), "--concurrency", str(self.concurrency)]
        self.group = nursery.start(
            ["worker", *OPTIONS, *listens], self.log.name, self.broker, as_in_production
        )

    def wait(self) -> None:
        """Return once the worker consumes, started again if a test has killed it."""
        if not self.is_alive():
            self.start()
        wait_until(self.is_ready)

    def is_alive(self) -> bool:
        """Whether the worker's process is there."""
        return exists(self.group)

    def is_ready(self) -> bool:
        """Whether the worker consumes; fails with its log if it has ended."""
        assert self.is_alive(), self.output()
        return " ready." in self.output()

    def output(self) -> str:
        """What the worker has printed so far."""
        self.log.seek(0)
        return self.log.read()

    def replace(self) -> None:
        """Start the next worker and SIGTERM this one, as a release does; return when it has ended."""
        group, log = self.group, self.log
        self.start()
        os.kill(group, signal.SIGTERM)
        wait_until(lambda: not exists(group))
        log.close()

    def kill(self) -> None:
        """SIGKILL the worker and its pool, as the kernel does when memory runs out."""
        with suppress(ProcessLookupError):
            os.killpg(self.group, signal.SIGKILL)
        wait_until(lambda: not self.is_alive())
        self.log.close()


@pytest.fixture(scope="session", autouse=True)
def running_worker(request: pytest.FixtureRequest) -> Iterator[Worker | None]:
    """One worker for the session, if a test asks for it; it starts while other tests run."""
    if not any("worker" in getattr(item, "fixturenames", ()) for item in request.session.items):
        yield None
        return
    with redis.behind_a_hole() as hole:
        worker = Worker(hole=hole)
        worker.start(as_in_production=not request.config.getoption("fork_worker"))
        request.getfixturevalue("django_db_setup")
        yield worker
        worker.kill()


@pytest.fixture
def worker(running_worker: Worker) -> Worker:
    """The running worker; a test may kill it."""
    from durable.tests import probes  # noqa: PLC0415 - needs Django's settings

    probes.forget()
    running_worker.wait()
    return running_worker
