"""Processes of the service, and who starts them again: what systemd or Kubernetes do in production."""

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

SUPERVISED = 0.05  # seconds between two looks


class Process:
    """One process of the service, with all that it starts.

    Args:
        name: what it is called in messages.
        command: what starts it.
        folder: where it runs.
        log: where it writes; it is appended to.
        environment: its whole environment.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        folder: Path,
        log: Path,
        environment: Mapping[str, str],
    ) -> None:
        self.name, self.command, self.log = name, command, log
        self.folder, self.environment = folder, {**environment}
        self.wanted = False
        self.start()

    def start(self) -> None:
        """Start it."""
        self.wanted = True
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=self.environment,
                start_new_session=True,
            )

    def signal(self, number: int) -> None:
        """Send a signal to the process, and to those that it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """SIGKILL it with all that it has started, as the kernel does when memory runs out."""
        self.signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """End it for good."""
        self.wanted = False
        self.kill()

    def children(self) -> list[psutil.Process]:
        """Return the processes that it has started."""
        return psutil.Process(self.process.pid).children()


class Supervisor(threading.Thread):
    """Starts a process again as soon as it has ended."""

    def __init__(self, processes: Sequence[Process]) -> None:
        super().__init__(daemon=True)
        self.processes = processes
        self.ended = threading.Event()

    def run(self) -> None:
        """Look after the processes until `stop`."""
        while not self.ended.wait(SUPERVISED):
            for process in self.processes:
                if process.wanted and process.process.poll() is not None:
                    process.start()

    def stop(self) -> None:
        """Look after them no longer."""
        self.ended.set()
        self.join()
