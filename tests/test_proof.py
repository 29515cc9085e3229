"""The proof report fails a run that proves less than it should."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rendering import ROOT

FAIL_ONCE = """
import pytest

attempts = []


@pytest.mark.parametrize("number", range({count}))
def test_that_fails_once(retry, number):
    def attempt():
        attempts.append(number)
        assert attempts.count(number) == 2

    retry(attempt)
"""


def run(folder: Path, count: int, *options: str) -> subprocess.CompletedProcess[str]:
    """Run tests that fail at their first attempt, under the proof report."""
    (folder / "test_once.py").write_text(FAIL_ONCE.format(count=count), encoding="utf-8")
    plugins = ("-ptests.proof", "-ptests.running", "-pno:cacheprovider")
    return subprocess.run(
        [sys.executable, "-m", "pytest", *plugins, f"--rootdir={folder}", *options, "test_once.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
        capture_output=True,
        encoding="utf-8",
    )


@pytest.mark.parametrize(("count", "status"), [(1, 0), (2, 1)])
def test_a_run_may_retry_one_test_only(tmp_path: Path, count: int, status: int) -> None:
    done = run(tmp_path, count)
    assert done.returncode == status, done.stdout
    assert f"{count} passed" in done.stdout
    assert ("2 tests passed only when they were retried; 1 may" in done.stdout) == bool(status)


def test_a_complete_run_has_all_parts(tmp_path: Path) -> None:
    done = run(tmp_path, 1, "--complete")
    assert done.returncode == 1
    assert "missing: 3,240 of 3,240 combinations" in done.stdout
    assert "missing: 180 of 180 distinct trees" in done.stdout
