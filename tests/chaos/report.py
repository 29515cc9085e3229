"""The tables: what came of each kind of work under each fault, and what alerts the fault raised."""

import os
import platform
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.chaos.alerts import patience_of

KINDS = {"email": "Emails", "durable": "Durable tasks", "plain": "Plain tasks"}
FIGURES = "accepted / done / lost / twice / s"
PAGE = Path(__file__).parents[2] / "docs/reliability.md"
RUNBOOK = "../{{cookiecutter.project_slug}}/docs/alerts.md"


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
        scale: by what the durations of the rules of alerts were divided.
        alerts: that it raised, and after how many seconds; None without a Prometheus.
    """

    fault: str
    counts: dict[str, Count]
    scale: int
    alerts: dict[str, float] | None


def table(lines: Sequence[Line]) -> Iterator[str]:
    """Yield the lines of the table of work, in Markdown."""
    yield from markdown(
        [
            ["", *KINDS.values()],
            ["---"] * (len(KINDS) + 1),
            ["", *[FIGURES] * len(KINDS)],
            *([line.fault, *(str(line.counts[kind]) for kind in KINDS)] for line in lines),
        ]
    )


def alert_table(lines: Sequence[Line]) -> Iterator[str]:
    """Yield the lines of the table of alerts, in Markdown; those that raised some come first."""
    raising = [(line, alert) for line in lines for alert in sorted(line.alerts or ())]
    rows = [
        [
            line.fault,
            f"[{alert}]({RUNBOOK}#{alert.lower()})",
            f"{patience_of(alert)} s",
            seconds(line, alert),
        ]
        for line, alert in raising
    ]
    rows += [[line.fault, "none", "", ""] for line in lines if line.alerts == {}]
    heads = ["Fault", "Alert and its runbook", "Can be detected after", "Raised after"]
    yield from markdown([heads, ["---"] * len(heads), *rows])


def seconds(line: Line, alert: str) -> str:
    """Return after how many seconds of production an alert was raised."""
    assert line.alerts
    return f"{max(0.0, line.alerts[alert]) * line.scale:.0f} s"


def markdown(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table whose columns are aligned."""
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
    """Put the tables into the page."""
    page = PAGE.read_text(encoding="utf-8")
    parts = {"measured": [machine(), "", *table(lines)]}
    if all(line.alerts is not None for line in lines):
        parts["alerts"] = [*alert_table(lines)]
    for name, part in parts.items():
        text = "\n".join(["", *part, ""]) + "\n"
        between = rf"(?<=<!-- {name} -->\n).*?(?=<!-- end -->)"
        page = re.sub(between, lambda _, text=text: text, page, flags=re.DOTALL)
    PAGE.write_text(page, encoding="utf-8")
