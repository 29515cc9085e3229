"""Celery workers and other programs of the service, as real processes."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec

from celery import current_app

from durable.testing.blackhole import Blackhole
from durable.testing.forks import factory
from durable.testing.servers import stack

OPTIONS = [
    "--loglevel=INFO",
    # Workers need not know each other; asking costs a second at every start.
    "--without-mingle",
    "--without-gossip",
    "--heartbeat-interval=1",  # second; half the default, so a missing heartbeat is noticed sooner
]
# Modules with tasks that only tests have.
PROBES = ("tests.probes", "durable.tests.probes")
CONCURRENCY = 2  # processes
TIMEOUT = (
    60.0  # seconds until a condition that never holds fails a test, also on a machine under load
)


def wait_until(condition: Callable[[], object], timeout: float = TIMEOUT) -> None:
    """Return once `condition` holds; fail the test after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout:g} s for {condition}"
        time.sleep(0.02)


def exists(process: int) -> bool:
    """Return whether a process exists."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def listens(address: str, port: int) -> bool:
    """Return whether a program listens on a port."""
    with socket.socket() as probe:
        return probe.connect_ex((address, port)) == 0


def probe_modules() -> list[str]:
    """Return the modules of PROBES that the project has."""
    packages = [name for name in PROBES if find_spec(name.partition(".")[0])]
    return [name for name in packages if find_spec(name.rpartition(".")[0]) and find_spec(name)]


class Program:
    """A program of the service, as a process of its own; it ends at the end of the run at the latest.

    Args:
        arguments: of Python, from the module's name on.
        environment: variables that the tests themselves do not have.
    """

    process: subprocess.Popen[str] | None = None

    def __init__(self, *arguments: str, **environment: str) -> None:
        self.arguments = arguments
        self.environment = environment

    def start(self) -> subprocess.Popen[str]:
        """Start the program."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", *self.arguments],
            env={**os.environ, **self.environment},
            stderr=subprocess.PIPE,
            text=True,
        )
        stack.callback(self.stop)
        return self.process

    def wait(self, port: int) -> None:
        """Start the program if it was not, and return once it listens; fail with its errors."""
        process = self.process or self.start()
        wait_until(lambda: process.poll() is not None or listens("127.0.0.1", port))
        assert process.poll() is None, process.communicate()[1]

    def stop(self) -> None:
        """Kill the program if it runs."""
        if self.process:
            self.process.kill()
            with self.process:
                self.process = None  # and its pipe is closed


class Worker:
    """A worker that can be killed and started again.

    Args:
        queues: the queues it consumes, by default all of them.
        concurrency: processes.
        hole: a proxy through which it reaches its broker.
        environment: variables that the tests themselves do not have.
    """

    def __init__(
        self,
        *queues: str,
        concurrency: int = CONCURRENCY,
        hole: Blackhole | None = None,
        **environment: str,
    ) -> None:
        self.queues = queues or tuple(queue.name for queue in current_app.conf.task_queues)
        self.concurrency = concurrency
        self.hole = hole
        broker = {"CELERY_BROKER_URL": f"redis://127.0.0.1:{hole.port}/0"} if hole else {}
        self.environment = broker | environment

    def start(self, *, as_in_production: bool = False) -> None:
        """Start the worker; `wait` returns once it consumes."""
        self.log = tempfile.NamedTemporaryFile("r")  # noqa: SIM115 - lives as long as the worker
        arguments = [
            "worker",
            *OPTIONS,
            f"--queues={','.join(self.queues)}",
            f"--concurrency={self.concurrency}",
            f"--include={','.join(probe_modules())}",
        ]
        self.group = factory.start(
            arguments, self.log.name, self.environment, as_in_production=as_in_production
        )

    def wait(self) -> None:
        """Return once the worker consumes; start it again if a test has killed it."""
        if not self.is_alive():
            self.start()
        wait_until(self.is_ready)

    def is_alive(self) -> bool:
        """Return whether the worker's process exists."""
        return exists(self.group)

    def is_ready(self) -> bool:
        """Return whether the worker consumes; fail with its log if it has ended."""
        assert self.is_alive(), self.output()
        return " ready." in self.output()

    def output(self) -> str:
        """Return what the worker has printed so far."""
        self.log.seek(0)
        return self.log.read()

    def replace(self) -> None:
        """Start the next worker and SIGTERM this one, as a release does; return once it has ended."""
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
