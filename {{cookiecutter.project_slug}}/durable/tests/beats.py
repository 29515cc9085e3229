"""A real Beat for the tests: the production command in a separate process."""

import os
import re
import signal
import subprocess
import sys
import tempfile

from durable.tasks.models import BeatLeader
from durable.testing.workers import wait_until

TIMEOUT = 60.0  # seconds to start, on a machine that is busy with other tests
COMMAND = [sys.executable, "-m", "celery", "-A", "config", "beat"]


class Beat:
    """A Beat that can be stopped and killed."""

    def __init__(self) -> None:
        self.log = tempfile.TemporaryFile("a+")  # noqa: SIM115 - lives as long as Beat
        self.process = subprocess.Popen(
            COMMAND,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "LOG_LEVEL": "INFO"},
        )

    def wait(self) -> None:
        """Return once this Beat leads or follows another."""
        wait_until(lambda: re.search("beat_became_leader|beat_follows", self.output()), TIMEOUT)

    def output(self) -> str:
        """Return what Beat has printed so far; fail with it if Beat has exited."""
        self.log.seek(0)
        text = self.log.read()
        assert self.process.poll() is None, text
        return text

    def leads(self) -> bool:
        """Return whether this Beat is the leader."""
        return BeatLeader.objects.filter(holder__endswith=f" {self.process.pid}").exists()

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send Beat a signal, by default SIGKILL as the kernel does when memory runs out."""
        self.process.send_signal(number)
        self.process.wait()
        self.log.close()
