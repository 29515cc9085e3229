"""The table: what came of each kind of work under each fault."""

import os
import platform
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

KINDS = {"email": "Emails", "durable": "Durable tasks", "plain": "Plain tasks"}
FIGURES = "accepted / done / lost / twice / s"
PAGE = Path(__file__).parents[2] / "docs/reliability.md"
MEASURED = re.compile(r"(?<=<!-- measured -->\n).*(?=<!-- end -->)", re.DOTALL)


@dataclass(frozen=True)
class Count:
    """What came of one kind of work under one fault.

    Args:
        accepted: calls that returned without an error.
        done: how many of those have run.
        duplicated: runs beyond the first of each.
        seconds: from the end of the fault until the last of them had run.
    """

    accepted: int
    done: int
    duplicated: int
    seconds: float

    @property
    def lost(self) -> int:
        """How many have not run, and never will."""
        return self.accepted - self.done

    def __str__(self) -> str:
        figures = (self.accepted, self.done, self.lost, self.duplicated)
        return " / ".join(f"{figure:,}" for figure in figures) + f" / {self.seconds:.0f}"


@dataclass(frozen=True)
class Line:
    """A line of the table.

    Args:
        fault: what happened, in words.
        counts: what came of each kind of work.
    """

    fault: str
    counts: dict[str, Count]


def table(lines: Sequence[Line]) -> Iterator[str]:
    """Yield the lines of the table, in Markdown."""
    rows = [
        ["", *KINDS.values()],
        ["---"] * (len(KINDS) + 1),
        ["", *[FIGURES] * len(KINDS)],
        *([line.fault, *(str(line.counts[kind]) for kind in KINDS)] for line in lines),
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield f"| {' | '.join(cells)} |"


def machine() -> str:
    """Say what was measured on."""
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"Measured on {os.cpu_count()} cores ({platform.machine()}), {memory:.0f} GiB, "
        f"{platform.system()}, Python {platform.python_version()}."
    )


def write(lines: Sequence[Line]) -> None:
    """Put the table into the page."""
    measured = "\n".join(["", machine(), "", *table(lines), ""]) + "\n"
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(MEASURED.sub(lambda _: measured, page), encoding="utf-8")
