"""`manage.py test` runs the suite, which pytest collects."""

import os
import subprocess
import sys

import pytest

from config.settings.env import BASE_DIR

# The rest names the servers of this run.
PASSED = {"HOME", "PATH", "PYTHONPYCACHEPREFIX", "TMPDIR"}
MODULE = "apps.pages.tests.test_home"


@pytest.mark.parametrize("label", [MODULE, f"{MODULE.replace('.', '/')}.py"])
def test_the_tests_of_a_module_run(label, tmp_path):
    result = subprocess.run(
        [
            sys.executable,
            BASE_DIR / "manage.py",
            "test",
            label,
            "-p",
            "no:cacheprovider",
            "-k",
            "visitors",
            "--database=sqlite",
        ],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name in PASSED},
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 0, result.stdout + result.stderr
    assert "1 passed" in result.stdout
