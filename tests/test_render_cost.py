"""What rendering costs, against the least that Cookiecutter takes on the same machine."""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROUNDS = range(9, 30)  # as many as it takes: others on the machine only ever add to what is seen
# Most people have told git who they are.
AUTHOR = {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in (("NAME", "A team"), ("EMAIL", "team@example.com"))
}
# It grows with the files: each is looked at, copied and committed. The first round also compiles
# the files that are rendered, which Jinja then keeps, so it is never the least.
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
    subprocess.run(command, check=True, capture_output=True, env=environment)
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


def test_rendering_costs_little_more_than_the_smallest_template(
    template: Path, memory: Path
) -> None:
    smallest = one_file_template(memory / "template")
    temporary = memory / "temporary"
    temporary.mkdir()
    # Turn by turn, the least of each, and of processors, so that others on the machine count least.
    smallests: list[Cost] = []
    fulls: list[Cost] = []
    ratio = float("inf")
    while len(fulls) < ROUNDS.start or (ratio > HIGHEST_RATIO and len(fulls) < ROUNDS.stop):
        turn = len(fulls)
        smallests.append(cost_of_rendering(smallest, memory / f"smallest-{turn}", temporary))
        fulls.append(cost_of_rendering(template, memory / f"this-{turn}", temporary))
        least, full = (min(cost.processors for cost in costs) for costs in (smallests, fulls))
        ratio = full / least
    clock = min(cost.clock for cost in fulls) / min(cost.clock for cost in smallests)
    print(
        f"\nseconds of processors: smallest template {least:.3f}, this one {full:.3f}"
        f" ({fulls[0].processors:.3f} in the first of {len(fulls)} rounds): {ratio:.2f} times;"
        f" by the clock {clock:.2f}"
    )
    assert ratio <= HIGHEST_RATIO
