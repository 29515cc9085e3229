"""A real Celery worker for the tests: the same command as in production, in a process of its own."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from celery import current_app

from tests import probes
from tests.blackhole import Blackhole
from tests.servers import redis

# Workers need not know of each other; asking around costs a second at every start.
OPTIONS = ["--loglevel", "INFO", "--without-mingle", "--without-gossip"]
# Tasks that only tests have.
OPTIONS += ["--include", "tests.probes"]
CONCURRENCY = 2  # processes
COMMAND = [sys.executable, "-m", "celery", "-A", "config", "worker", *OPTIONS]
PATIENCE = 20.0  # seconds until a test that waits gives up


def wait_until(condition: Callable[[], object], patience: float = PATIENCE) -> None:
    """Return once `condition` holds; fail the test after `patience` seconds."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"waited {patience:g} s for {condition}"
        time.sleep(0.02)


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

    def start(self) -> None:
        """Start the worker; `wait` tells when it consumes."""
        self.log = tempfile.TemporaryFile("a+")  # noqa: SIM115 - lives as long as the worker
        self.process = subprocess.Popen(
            [
                *COMMAND,
                *("--queues", ",".join(self.queues)),
                *("--concurrency", str(self.concurrency)),
            ],
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={
                **os.environ,
                "LOG_LEVEL": "INFO",
                "REMAP_SIGTERM": "SIGQUIT",
                "WORKER_BROKER_TIMEOUT": "0.6",  # longer than a request's
                **self.broker,
            },
        )

    def wait(self) -> None:
        """Return once the worker consumes, started again if a test has killed it."""
        if self.process.poll() is not None:
            self.start()
        wait_until(self.is_ready)

    def is_ready(self) -> bool:
        """Whether the worker consumes; fails with its log if it has ended."""
        assert self.process.poll() is None, self.output()
        return " ready." in self.output()

    def output(self) -> str:
        """What the worker has printed so far."""
        self.log.seek(0)
        return self.log.read()

    def kill(self) -> None:
        """SIGKILL the worker and its pool, as the kernel does when memory runs out."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.log.close()


@pytest.fixture(scope="session", autouse=True)
def running_worker(request: pytest.FixtureRequest) -> Iterator[Worker | None]:
    """One worker for the session, if a test asks for it; it starts while other tests run."""
    if not any("worker" in getattr(item, "fixturenames", ()) for item in request.session.items):
        yield None
        return
    request.getfixturevalue("django_db_setup")
    with redis.behind_a_hole() as hole:
        worker = Worker(hole=hole)
        worker.start()
        yield worker
        worker.kill()


@pytest.fixture
def worker(running_worker: Worker) -> Worker:
    """The running worker; a test may kill it."""
    probes.forget()
    running_worker.wait()
    return running_worker
