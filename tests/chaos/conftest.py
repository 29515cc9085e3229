"""The running service for all rows, and the tables at the end."""

import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import report
from tests.chaos.world import HERE, HOUR, World
from tests.prometheus import MISSING, find_promtool
from tests.rendering import Bake


@pytest.fixture(scope="session")
def worlds(
    bake: Bake,
    tmp_path_factory: pytest.TempPathFactory,
    without_flower: Path,
    pytestconfig: pytest.Config,
) -> Iterator[Callable[[str], World]]:
    """Return a function that gives the running service on a database, one at a time.

    It serves all rows on this database, since starting it takes as long as a row.
    """
    project = bake()
    for module in (HERE / "project").glob("*.py"):
        shutil.copy(module, project)
    promtool = find_promtool()
    if promtool is None:
        warnings.warn(f"no alert is tested: {MISSING}", stacklevel=1)
    running: dict[str, World] = {}

    def end() -> None:
        for world in running.values():
            world.end()
        running.clear()

    def start(database: str) -> World:
        if database not in running:
            end()
            folder = tmp_path_factory.mktemp(database)
            world = World(project, folder, database, without_flower, promtool)
            running[database] = world
            if pytestconfig.getoption("reliability"):
                world.quiet = HOUR
        return running[database]

    yield start
    end()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Show the tables, and write them into the page if that is wanted."""
    reports = [
        each for outcome in ("passed", "failed") for each in terminalreporter.stats.get(outcome, ())
    ]
    lines = [
        value for each in reports for name, value in each.user_properties if name == "reliability"
    ]
    if not lines:
        return
    terminalreporter.section("reliability")
    for line in (*report.table(lines), "", *report.alert_table(lines)):
        terminalreporter.line(line)
    if config.getoption("reliability"):
        report.write(lines)
