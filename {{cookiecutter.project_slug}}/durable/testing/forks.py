"""Starts workers by a fork of the test process, which takes an eighth of the time of a new process."""

import gc
import os
import signal
import sys
import traceback
import warnings
from contextlib import suppress
from importlib import import_module
from multiprocessing import Pipe
from pathlib import Path
from typing import NoReturn

from billiard.util import set_pdeathsig  # type: ignore[attr-defined]
from celery import current_app
from django.conf import settings

# On other systems, a fork of a process that has used the system's libraries may crash.
CAN_FORK = sys.platform == "linux"


class WorkerFactory:
    """A copy of the test process, made before it has threads and connections; it forks workers."""

    def open(self) -> None:
        """Make the copy; it ends together with the test process."""
        self.ours, self.theirs = Pipe()
        if os.fork() == 0:
            try:
                self.serve()
            finally:
                os._exit(0)
        self.theirs.close()

    def serve(self) -> None:
        """Start the workers that the test process requests."""
        os.setsid()  # Ctrl-C is for the test process
        os.environ["LOG_LEVEL"] = "INFO"
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # leave no zombies
        self.ours.close()
        with suppress(EOFError):
            while request := self.theirs.recv():
                self.theirs.send(os.fork() or become_worker(*request))
                import_module("celery.bin.celery")  # for the next one, while this one starts

    def start(
        self, arguments: list[str], log: str, environment: dict[str, str], *, as_in_production: bool
    ) -> int:
        """Start a worker; return the id of its process, which is also that of its group.

        Args:
            arguments: of `celery -A config`.
            log: path of the file that takes its output.
            environment: variables that the tests themselves do not have.
            as_in_production: run the command in a new process.
        """
        self.ours.send((arguments, log, environment, as_in_production))
        return int(self.ours.recv())


def become_worker(
    arguments: list[str], log: str, environment: dict[str, str], as_in_production: bool
) -> NoReturn:
    """Turn this process into a worker, which ends with the test process, also if that is killed."""
    with suppress(OSError):  # on Linux only
        set_pdeathsig(signal.SIGKILL)
    os.setsid()
    os.environ |= environment
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with Path(log).open("ab") as file:
        for standard in (1, 2):
            os.dup2(file.fileno(), standard)
    if as_in_production or not CAN_FORK:
        os.execv(sys.executable, [sys.executable, "-m", "celery", "-A", "config", *arguments])
    gc.freeze()  # otherwise Celery collects the garbage of the tests, which takes most of the time
    warnings.simplefilter("ignore")  # pytest has made them errors
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    # Celery sets up Django again, and with it logging.
    settings.LOGGING["root"]["level"] = "INFO"  # type: ignore[index]
    try:
        current_app.worker_main(arguments)
    except BaseException:  # noqa: BLE001 - nothing may return into the copied test process
        traceback.print_exc()
    finally:
        os._exit(1)


factory = WorkerFactory()
