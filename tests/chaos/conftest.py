"""The running service for all rows, and the table at the end."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.chaos import report
from tests.chaos.world import HERE, World
from tests.conftest import Bake


@pytest.fixture(scope="session")
def world(bake: Bake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The service with everything it needs, for all rows: starting it takes as long as a row."""
    project = bake()
    for module in (HERE / "project").glob("*.py"):
        shutil.copy(module, project)
    world = World(project, tmp_path_factory.mktemp("chaos"))
    yield world
    world.end()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Show the table, and write it into the page if that is wanted."""
    reports = [
        each for outcome in ("passed", "failed") for each in terminalreporter.stats.get(outcome, ())
    ]
    lines = [
        value for each in reports for name, value in each.user_properties if name == "reliability"
    ]
    if not lines:
        return
    terminalreporter.section("reliability")
    for line in report.table(lines):
        terminalreporter.line(line)
    if config.getoption("reliability"):
        report.write(lines)
