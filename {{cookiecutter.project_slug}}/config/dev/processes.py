"""Runs the lines of the Procfile by honcho; all that they start ends with `make dev`."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import Any

import honcho.process
from billiard.util import set_pdeathsig  # type: ignore[attr-defined]
from honcho.environ import parse_procfile
from honcho.manager import Manager
from honcho.printer import Message, Printer

from config.settings.env import BASE_DIR

ENDED_BY_SIGNAL = (130, 143)  # honcho's return codes after SIGINT and SIGTERM


def run_procfile(environment: Mapping[str, str]) -> int:
    """Run every line until a signal arrives or one of them exits.

    Returns:
        0 after SIGINT or SIGTERM, else 1.
    """
    manager = Manager(Output())
    manager._process_ctor = Line
    for name, command in parse_procfile((BASE_DIR / "Procfile").read_text()).processes.items():
        # `exec`, so that signals reach the program and not a shell.
        manager.add_process(name, f"exec {command}", env=environment, cwd=BASE_DIR)
    manager.loop()
    if manager.returncode in ENDED_BY_SIGNAL:
        return 0
    print(
        "make dev: a process exited, so all were stopped: see its last lines above",
        file=sys.stderr,
    )
    return 1


class Output(Printer):  # type: ignore[misc]
    """honcho's printer; ignores a closed pipe, since Ctrl-C ends `tee` before `make dev | tee`."""

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
        """Run the command; honcho calls this in a separate process that ignores SIGTERM."""
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
    """Wait until a process exits, then terminate the rest of its group."""
    leader.wait()
    with suppress(ProcessLookupError):
        os.killpg(leader.pid, signal.SIGTERM)


def end_with_parent(number: int) -> None:
    """On Linux, send this process a signal when its parent dies; other systems cannot."""
    with suppress(OSError):
        set_pdeathsig(number)
