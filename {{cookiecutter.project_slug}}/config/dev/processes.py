"""Runs the lines of the Procfile by honcho; all that they start ends with `make dev`."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import Any

import honcho.manager
import honcho.process
from billiard.util import set_pdeathsig  # type: ignore[attr-defined]
from honcho.environ import parse_procfile

from config.dev import CannotStartError
from config.dev.output import Output
from config.dev.ready import WEB, announce
from config.settings.env import BASE_DIR

PROCFILE = BASE_DIR / "Procfile"
WORKER = "celery -A config worker"
ENDED_BY_SIGNAL = (130, 143)  # honcho's return codes after SIGINT and SIGTERM
WATCH_INTERVAL = 1.0  # seconds
# Seconds until the processes are killed; a busy machine needs more than the 5 s of honcho.
honcho.manager.KILL_WAIT = 10


def run_procfile(environment: Mapping[str, str]) -> None:
    """Run every line until a signal arrives or one of them exits.

    Args:
        environment: of the processes.

    Raises:
        CannotStartError: a process exited.
    """
    output = Output()
    manager = honcho.manager.Manager(output)
    manager._process_ctor = Line
    lines: dict[str, str] = parse_procfile(PROCFILE.read_text()).processes
    for name, command in lines.items():
        # `exec`, so that signals reach the program and not a shell.
        manager.add_process(name, f"exec {command}", env=environment, cwd=BASE_DIR)
    awaited = {name for name, command in lines.items() if WORKER in command or name == WEB}
    for job in (partial(announce, output, awaited, environment), report_changes):
        Thread(target=job, daemon=True).start()
    manager.loop()
    output.stopping = True
    if manager.returncode not in ENDED_BY_SIGNAL:
        raise CannotStartError(
            "make dev: a process exited, so all were stopped: see its last lines above"
        )


def report_changes() -> None:
    """Print a line whenever the Procfile changes: no process runs a new line yet."""
    changed = PROCFILE.stat().st_mtime
    while True:
        time.sleep(WATCH_INTERVAL)
        with suppress(FileNotFoundError):  # an editor replaces the file
            if changed != (changed := PROCFILE.stat().st_mtime):
                print(
                    "make dev: the Procfile has changed: press Ctrl-C, then run `make dev` again",
                    flush=True,
                )


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
