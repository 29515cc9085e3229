"""Prints what `make install` installs: the template's own tools, and all that any project needs."""

import tomllib
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROJECT = ROOT / "{{cookiecutter.project_slug}}"


def requirements(pyproject: Path) -> list[str]:
    """Return the dependencies of a project and of all its groups, some of which include another.

    To TOML, a condition of the template is a comment, so nothing is left out.
    """
    content = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    lines = chain.from_iterable(content.get("dependency-groups", {}).values())
    return [*content["project"].get("dependencies", []), *(x for x in lines if isinstance(x, str))]


if __name__ == "__main__":
    found = [line for folder in (ROOT, PROJECT) for line in requirements(folder / "pyproject.toml")]
    print("\n".join(sorted(set(found))))
