"""The version of the template: one number, and migrations that only grow from it on."""

import hashlib
import json
import tomllib
from pathlib import Path

from tests.rendering import PROJECT, QUESTIONS, ROOT, Bake

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
RECORDED = json.loads((ROOT / "tests/migrations.json").read_text(encoding="utf-8"))


def test_every_version_is_that_of_the_template(bake: Bake) -> None:
    project = bake()
    pyproject = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    engine = (project / "durable/__init__.py").read_text(encoding="utf-8")

    assert QUESTIONS["__version"] == VERSION
    assert pyproject["tool"]["template"] == {"version": VERSION}
    assert f'__version__ = "{VERSION}"' in engine
    assert f"## {VERSION}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def digest(path: Path) -> str:
    """Return what tells a migration from a changed one."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_released_migrations_do_not_change() -> None:
    changed = [
        path
        for path, recorded in RECORDED.items()
        if not (ROOT / PROJECT / path).exists() or digest(ROOT / PROJECT / path) != recorded
    ]

    assert changed == [], (
        "these migrations are released, and databases have applied them: restore them, and add a new one"
    )


def test_every_released_migration_is_recorded() -> None:
    initial = (ROOT / PROJECT).glob("*/*/migrations/0001_*.py")
    assert {path.relative_to(ROOT / PROJECT).as_posix() for path in initial} <= RECORDED.keys()
