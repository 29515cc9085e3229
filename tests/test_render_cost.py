"""What rendering costs, against the least that Cookiecutter takes on the same machine."""

import os
import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 9
# Most people have told git who they are.
AUTHOR = {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in (("NAME", "A team"), ("EMAIL", "team@example.com"))
}
# It grows with the files: Cookiecutter compiles the path of each as a template of its own.
HIGHEST_RATIO = 2.3


def seconds_to_render(template: Path, output: Path) -> float:
    """Return how long the `cookiecutter` command takes, its own start included.

    What it wrote stays until the tests are over: a disk that is busy deleting counts against the
    template that writes more.
    """
    command = [sys.executable, "-m", "cookiecutter", "--no-input", "-o", str(output), str(template)]
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=os.environ | AUTHOR)
    return time.perf_counter() - start


def one_file_template(folder: Path) -> Path:
    """Return the smallest template there is: one question, one file, no hooks."""
    (folder / "{{cookiecutter.name}}").mkdir(parents=True)
    (folder / "cookiecutter.json").write_text('{"name": "smallest"}', encoding="utf-8")
    (folder / "{{cookiecutter.name}}/README.md").write_text("{{ cookiecutter.name }}\n")
    return folder


def test_rendering_costs_little_more_than_the_smallest_template(
    template: Path, tmp_path: Path
) -> None:
    smallest = one_file_template(tmp_path / "template")
    # Turn by turn, and the quickest of each, so that a busy moment of the machine counts least.
    pairs = [
        (
            seconds_to_render(smallest, tmp_path / f"smallest-{turn}"),
            seconds_to_render(template, tmp_path / f"this-{turn}"),
        )
        for turn in range(ROUNDS)
    ]
    least, full = map(min, zip(*pairs, strict=True))
    print(f"\nsmallest template {least:.3f} s, this one {full:.3f} s: {full / least:.2f} times")
    assert full / least <= HIGHEST_RATIO
