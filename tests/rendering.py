"""Fixtures that render projects, from a clean copy of the template."""

import json
import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cookiecutter.generate import generate_context
from cookiecutter.prompt import prompt_for_config
from cookiecutter.utils import create_env_with_context
from pytest_cookies.plugin import Cookies

ROOT = Path(__file__).resolve().parents[1]
PROJECT = "{{cookiecutter.project_slug}}"
QUESTIONS: dict[str, Any] = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))
ROOM = 2_000_000_000  # bytes; the projects of several runs took an eighth of it

Bake = Callable[..., Path]
Cookiecutter = Callable[..., subprocess.CompletedProcess[str]]
Hook = Callable[[str], dict[str, Any]]


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
