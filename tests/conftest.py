"""What the template's tests share: a clean copy of the template, and two ways to render it."""

import json
import os
import runpy
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cookiecutter.generate import generate_context
from cookiecutter.prompt import prompt_for_config
from cookiecutter.utils import create_env_with_context
from pytest_cookies.plugin import Cookies

from tests.forks import ForkServer

ROOT = Path(__file__).resolve().parents[1]
PROJECT = "{{cookiecutter.project_slug}}"
QUESTIONS: dict[str, Any] = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))

ROOM = 2_000_000_000  # bytes; the projects of several runs took an eighth of it

Bake = Callable[..., Path]
Settle = Callable[[Path], Path]
Cookiecutter = Callable[..., subprocess.CompletedProcess[str]]
Hook = Callable[[str], dict[str, Any]]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the caller ask for more."""
    parser.addoption(
        "--every-test", action="store_true", help="run all tests of each of the 180 trees"
    )
    parser.addoption(
        "--complete", action="store_true", help="fail unless each combination, tree and row passed"
    )
    parser.addoption(
        "--reliability", action="store_true", help="write the table of tests/chaos into its page"
    )
    parser.addoption(
        "--screenshots", action="store_true", help="keep the pictures that tests/browser takes"
    )


def memory() -> str | None:
    """Return Linux' folder in memory if it has room and runs programs, for what is thrown away."""
    folder = "/dev/shm"
    if not Path(folder).is_dir() or os.statvfs(folder).f_flag & os.ST_NOEXEC:
        return None
    return folder if shutil.disk_usage(folder).free > ROOM else None


def pytest_configure() -> None:
    """Let projects lie in memory: a disk can take longer to make their files than all else takes."""
    if folder := memory():
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", folder)


PARTS = {  # of the proof: how the names of their tests begin, and what they are
    "tests/test_combinations.py::test_the_files_of_a_combination_fit_together[": "combinations",
    "tests/test_trees.py::test_a_tree_passes_djangos_checks_and_its_own_tests[": "distinct trees",
    "tests/test_covering_array.py::test_a_project_starts_and_delivers_a_mail[": "started projects",
}
FIGURES = (
    "distinct files",
    "tests in the trees",
    "trees that were run again",
    "projects that were started again",
)
# Celery's command line loads Flower at each start, for all projects of the tests share an environment.
WITHOUT_FLOWER = """
from importlib import metadata

every = metadata.entry_points


def entry_points(**parameters):
    return () if parameters.get("group") == "celery.commands" else every(**parameters)


metadata.entry_points = entry_points
"""


def passed(reporter: Any) -> dict[str, int]:
    """Return how many tests of each part of the proof have passed."""
    names = [report.nodeid for report in reporter.stats.get("passed", ())]
    return {part: sum(name.startswith(prefix) for name in names) for prefix, part in PARTS.items()}


def figures(reporter: Any) -> dict[str, int]:
    """Return the sums of the figures that tests have noted with `record_property`."""
    noted = [pair for report in reporter.stats.get("passed", ()) for pair in report.user_properties]
    return {figure: sum(value for name, value in noted if name == figure) for figure in FIGURES}


def expected() -> dict[str, int]:
    """Return how many tests each part of the proof has."""
    from tests import test_combinations, test_covering_array, test_trees  # noqa: PLC0415 - a cycle

    return {
        "combinations": len(test_combinations.COMBINATIONS),
        "distinct trees": len(test_trees.TREES),
        "started projects": len(test_covering_array.ARRAY),
    }


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say how much was proven, and what is missing."""
    found = passed(terminalreporter)
    if any(found.values()):
        terminalreporter.section("proof")
        for what, count in {**found, **figures(terminalreporter)}.items():
            terminalreporter.line(f"{count:>6,} {what}")
    if config.getoption("complete"):
        for what, count in expected().items():
            if found[what] != count:
                terminalreporter.line(f"missing: {count - found[what]:,} of {count:,} {what}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run that should be complete and is not."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    is_controller = not hasattr(session.config, "workerinput")
    if session.config.getoption("complete") and is_controller and passed(reporter) != expected():
        session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session", autouse=True)
def _own_configuration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep git and Cookiecutter away from the configuration of whoever runs the tests."""
    folder = tmp_path_factory.mktemp("configuration")
    config = folder / "cookiecutter.yaml"
    config.write_text(
        f"cookiecutters_dir: {folder / 'templates'}\nreplay_dir: {folder / 'replay'}\n",
        encoding="utf-8",
    )
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("GIT_")]:
            patch.delenv(name)
        patch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        patch.setenv("XDG_CONFIG_HOME", str(folder))
        patch.setenv("COOKIECUTTER_CONFIG", str(config))
        yield


@pytest.fixture(scope="session")
def without_flower(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that hides Flower from who has it in PYTHONPATH."""
    folder = tmp_path_factory.mktemp("without_flower")
    (folder / "sitecustomize.py").write_text(WITHOUT_FLOWER, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the template as a fresh clone has it, without what tools left behind."""
    copy = tmp_path_factory.mktemp("template")
    shutil.copy(ROOT / "cookiecutter.json", copy)
    for folder in ("hooks", PROJECT):
        left_by_tools = shutil.ignore_patterns(*QUESTIONS["_left_by_tools"])
        shutil.copytree(ROOT / folder, copy / folder, ignore=left_by_tools)
    return copy


@pytest.fixture(scope="session")
def bake(cookies_session: Cookies, template: Path) -> Bake:
    """Return a function that renders a project from the answers given to it."""

    def bake(**answers: Any) -> Path:
        result = cookies_session.bake(extra_context=answers, template=str(template))
        assert result.exception is None
        # An unknown question is ignored in silence, so look whether the answers arrived.
        assert {question: result.context[question] for question in answers} == answers
        return Path(result.project_path)

    return bake


@pytest.fixture(scope="session")
def project(bake: Bake) -> Path:
    """Return the project that the default answers render; tests must not change it."""
    return bake()


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


@pytest.fixture
def cookiecutter(template: Path, tmp_path: Path) -> Cookiecutter:
    """Return a function that runs the `cookiecutter` command, rendering into `tmp_path`."""

    def run(
        *arguments: str,
        typed: str = "",
        environment: dict[str, str] | None = None,
        template: Path = template,
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "cookiecutter", "-o", tmp_path, template, *arguments],
            check=False,
            capture_output=True,
            encoding="utf-8",
            input=typed,
            env={**os.environ, "PYTHONUTF8": "1", **(environment or {})},
        )

    return run


@pytest.fixture
def hook(template: Path, tmp_path: Path) -> Hook:
    """Return a function that gives the names a hook defines, rendered for the default answers."""
    context: dict[str, Any] = generate_context(str(template / "cookiecutter.json"))
    context["cookiecutter"] = prompt_for_config(context, no_input=True)

    def load(name: str) -> dict[str, Any]:
        source = (template / "hooks" / f"{name}.py").read_text(encoding="utf-8")
        rendered = tmp_path / f"{name}.py"
        rendered.write_text(
            create_env_with_context(context).from_string(source).render(context), encoding="utf-8"
        )
        return runpy.run_path(str(rendered))

    return load
