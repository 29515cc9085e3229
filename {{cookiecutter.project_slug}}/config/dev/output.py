"""What `make dev` prints of its processes: little while they start, and each failure once."""

import re
import sys
import time
from collections import deque
from collections.abc import Collection
from contextlib import suppress
from threading import Lock

from honcho.manager import SYSTEM_PRINTER_NAME
from honcho.printer import Message, Printer

# A process starts until it prints one, and starts again after it prints the other.
READY = re.compile(r"\S@\S+ ready\.|Uvicorn running on|Quit the server with|beat: Starting")
STOPPING = re.compile(
    r"worker: (Hitting|Warm shutdown)|beat_released_leadership|celery beat v"
    r"|INFO: +Shutting down|, reloading\."
)
# Printed of a process that starts, too.
PROBLEM = re.compile(r"\[(warning|error|critical) *\]|\([a-z_]+\.[EC]\d{3}\)$|\w*Error\b")
TRACEBACK = "Traceback (most recent call last):"
# Lines of a traceback, besides those that are indented or empty.
BETWEEN = ("Traceback ", "During handling of", "The above exception")
# What differs between two processes that fail for the same reason.
VARYING = re.compile(r".* raised: |\d\d:\d\d:\d\d|0x[0-9a-f]+")
SAME_FAILURE = 20.0  # seconds; a saved file restarts all processes
MAX_HELD = 200  # lines of a process that starts


class Stream:
    """The lines of one process."""

    def __init__(self) -> None:
        self.starting = True
        self.held: deque[Message] = deque(maxlen=MAX_HELD)
        self.traceback: list[Message] = []


class Output(Printer):  # type: ignore[misc]
    """honcho's printer, which holds back what processes print while they start.

    A closed pipe is ignored: Ctrl-C ends `tee` before `make dev | tee`.
    """

    def __init__(self) -> None:
        super().__init__(sys.stdout)
        self.streams: dict[str, Stream] = {}
        self.ready: set[str] = set()  # processes that were ready once
        self.failures: dict[str, float] = {}  # when each was printed last, by the monotonic clock
        self.started = False  # whether the first start has ended
        self.stopping = False
        self.lock = Lock()

    def write(self, message: Message) -> None:
        """Print one line of one process, or keep it for later."""
        text = message.data
        text = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        message = message._replace(data=text.rstrip("\r\n"))
        with self.lock:
            if message.name == SYSTEM_PRINTER_NAME:
                self.write_system(message)
            else:
                self.write_line(self.streams.setdefault(message.name, Stream()), message)

    def write_system(self, message: Message) -> None:
        """Print which process ended by itself; honcho then stops the others."""
        self.stopping |= message.data.endswith(" received") or message.data.startswith("sending ")
        if not self.stopping and " stopped (rc=" in message.data:
            name = message.data.partition(" ")[0]
            self.release(self.streams.get(name, Stream()))
            self.print(message)

    def write_line(self, stream: Stream, message: Message) -> None:
        """Print one line; of a process that starts, only a failure that no other has printed."""
        text = message.data
        if READY.search(text):
            self.ready.add(message.name)
            stream.starting = False
            stream.held.clear()
        if STOPPING.search(text):
            stream.starting = True
        elif self.started and not stream.starting:
            self.print(message)
        elif text == TRACEBACK or stream.traceback:
            self.write_traceback(stream, message)
        elif not PROBLEM.search(text):
            stream.held.append(message)
        elif self.is_new(text):
            self.print(message)

    def write_traceback(self, stream: Stream, message: Message) -> None:
        """Collect a traceback, and print it as a whole."""
        stream.traceback.append(message)
        text = message.data
        if not text or text[0].isspace() or text.startswith(BETWEEN):
            return
        lines, stream.traceback = stream.traceback, []
        places = [line.data for line in lines if line.data.startswith("  File ")]
        if self.is_new(f"{places[-1:]} {text}"):
            for line in lines:
                self.print(line)

    def is_new(self, failure: str) -> bool:
        """Return whether no process has printed the same failure a moment ago, and remember it."""
        key, now = VARYING.sub("", failure), time.monotonic()
        new = now - self.failures.get(key, -SAME_FAILURE) >= SAME_FAILURE
        if new:
            self.failures[key] = now
        return new

    def release(self, stream: Stream) -> None:
        """Print what was held back of a process that did not start."""
        for line in (*stream.held, *stream.traceback):
            self.print(line)
        stream.held.clear()
        stream.traceback.clear()

    def print(self, message: Message) -> None:
        """Print one line with its time and its process."""
        with suppress(OSError):
            super().write(message)

    def end_start(self, missing: Collection[str] = ()) -> None:
        """Print from now on what the processes print.

        Args:
            missing: those that have not started; what they have printed so far is shown.
        """
        with self.lock:
            self.started = True
            for name, stream in self.streams.items():
                if name in missing:
                    self.release(stream)
                stream.starting = False
                stream.held.clear()
