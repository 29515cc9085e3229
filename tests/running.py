"""Fixtures that run what was rendered: a fixed folder, an environment, a process with imports done."""

import os
import shutil
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.forks import ForkServer

Retry = Callable[[Callable[[], Any]], Any]
Settle = Callable[[Path], Path]

# Celery's command line loads Flower at each start, for all projects of the tests share an environment.
WITHOUT_FLOWER = """
from importlib import metadata

every = metadata.entry_points


def entry_points(**parameters):
    return () if parameters.get("group") == "celery.commands" else every(**parameters)


metadata.entry_points = entry_points
"""


@pytest.fixture
def retry(record_property: Callable[[str, object], None]) -> Retry:
    """Return a function that calls another, a second time if the first one fails.

    A shared machine may stall for seconds. The proof report fails a run with more than one retry.
    """

    def retry(attempt: Callable[[], Any]) -> Any:
        try:
            return attempt()
        except AssertionError as failure:
            warnings.warn(f"failed once, retried: {str(failure)[-800:]}", stacklevel=2)
            record_property("retries", 1)
            return attempt()

    return retry


@pytest.fixture(scope="session")
def without_flower(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that hides Flower from who has it in PYTHONPATH."""
    folder = tmp_path_factory.mktemp("without_flower")
    (folder / "sitecustomize.py").write_text(WITHOUT_FLOWER, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder where one project after the other lies."""
    return tmp_path_factory.mktemp("place")


@pytest.fixture(scope="session")
def settle(place: Path) -> Settle:
    """Return a function that moves a project to where the last one lay.

    It dates each file by its content, since Python and pytest take up what they compiled from a file
    of the same path, size and date.
    """

    def settle(project: Path) -> Path:
        settled = place / "project"
        shutil.rmtree(settled, ignore_errors=True)
        project.rename(settled)
        for path in settled.rglob("*.py"):
            date = zlib.crc32(path.read_bytes())
            os.utime(path, (date, date))
        return settled

    return settle


@pytest.fixture(scope="session")
def environment(place: Path, without_flower: Path) -> dict[str, str]:
    """Return the environment of the project's commands, without what only this template needs."""
    ours = (
        "DJANGO_SETTINGS_MODULE",
        "PYTHONDONTWRITEBYTECODE",
        "MYPY_CACHE_DIR",
        "ARGS",
        "PYTEST_",
        "MAKE",
        "MFLAGS",
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {
        **kept,
        "PYTHONPATH": str(without_flower),
        "PYTHONPYCACHEPREFIX": str(place / "compiled"),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }


@pytest.fixture(scope="session")
def fork_server(place: Path, environment: dict[str, str]) -> Iterator[ForkServer]:
    """Start what runs Python without waiting for imports."""
    server = ForkServer(environment, place / "output")
    yield server
    server.close()
