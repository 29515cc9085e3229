"""The engine as a library: built as a wheel, and used by a project that has no copy of its source."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.rendering import Bake
from tests.running import Settle
from tests.test_project import make

PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "durable"
version = "0"

[tool.hatch.build.targets.wheel]
packages = ["durable"]
"""


@pytest.fixture
def installed(tmp_path: Path, bake: Bake) -> Path:
    """Return a folder with the engine, installed from its wheel."""
    source, site = tmp_path / "source", tmp_path / "site"
    shutil.copytree(bake() / "durable", source / "durable")
    (source / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    subprocess.run(build, cwd=source, check=True, capture_output=True)
    (wheel,) = (source / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:  # a pure wheel is installed by unpacking it
        archive.extractall(site)
    return site


def test_a_project_passes_its_tests_with_the_installed_engine(
    installed: Path, bake: Bake, settle: Settle
) -> None:
    project = settle(bake())
    shutil.rmtree(project / "durable")

    output = make(project, "test", PYTHONPATH=str(installed))

    assert re.search(r"^=+ \d+ passed in", output, re.MULTILINE), output
