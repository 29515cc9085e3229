"""What rendering costs, against the least that Cookiecutter takes on the same machine."""

import itertools
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

# Single pairs of one template came to 1.3 to 2.3 here: too high is what is still so after the last.
ROUNDS = range(15, 60)
# Most people have told git who they are.
AUTHOR = {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in (("NAME", "A team"), ("EMAIL", "team@example.com"))
}
# It grows with the files: each is looked at, copied and committed.
HIGHEST_RATIO = 1.8


class Cost(NamedTuple):
    """What a command takes, both in seconds: of processors, its children's included, and by clock."""

    processors: float
    clock: float


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """Give a folder in memory where the system has one (Linux): what a disk takes varies threefold."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else tmp_path) as folder:
        yield Path(folder)


def cost_of_rendering(template: Path, output: Path, temporary: Path) -> Cost:
    """Return what the `cookiecutter` command takes, its own start included.

    What it wrote stays until the tests are over: a disk that is busy deleting counts against the
    template that writes more.
    """
    command = [sys.executable, "-m", "cookiecutter", "--no-input", "-o", str(output), str(template)]
    environment = os.environ | AUTHOR | {"TMPDIR": str(temporary)}
    used, start = seconds_used(), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=environment, cwd=temporary)
    return Cost(seconds_used() - used, time.perf_counter() - start)


def seconds_used() -> float:
    """Return the processors' time that children of this process have taken so far."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


def one_file_template(folder: Path) -> Path:
    """Return the smallest template there is: one question, one file, no hooks."""
    (folder / "{{cookiecutter.name}}").mkdir(parents=True)
    (folder / "cookiecutter.json").write_text('{"name": "smallest"}', encoding="utf-8")
    (folder / "{{cookiecutter.name}}/README.md").write_text("{{ cookiecutter.name }}\n")
    return folder


def ratio_of(rounds: list[tuple[Cost, Cost]]) -> float:
    """Return how much more the second of a pair costs.

    The machine's speed changes from second to second, so only neighbours are compared; and
    processors' time is, since a wait for others on the machine is not part of that.
    """
    return statistics.median(full.processors / least.processors for least, full in rounds)


def test_rendering_costs_little_more_than_the_smallest_template(
    template: Path, memory: Path
) -> None:
    smallest = one_file_template(memory / "template")
    temporary = memory / "temporary"
    temporary.mkdir()
    turns = itertools.count()

    def one_round() -> tuple[Cost, Cost]:
        turn = next(turns)
        return (
            cost_of_rendering(smallest, memory / f"smallest-{turn}", temporary),
            cost_of_rendering(template, memory / f"this-{turn}", temporary),
        )

    # The first round also compiles the files that are rendered, which Jinja then keeps.
    first, *rounds = [one_round() for _ in range(1 + ROUNDS.start)]
    while ratio_of(rounds) > HIGHEST_RATIO and len(rounds) < ROUNDS.stop:
        rounds.append(one_round())
    usual = statistics.median(full.processors for _, full in rounds)
    clock = statistics.median(full.clock / least.clock for least, full in rounds)
    print(
        f"\nseconds of processors: this template {usual:.3f} ({first[1].processors:.3f} at first),"
        f" {ratio_of(rounds):.2f} times; by the clock {clock:.2f} times; {len(rounds)} rounds"
    )
    assert ratio_of(rounds) <= HIGHEST_RATIO
