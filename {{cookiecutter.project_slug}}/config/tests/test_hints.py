"""Commands in hints, error messages and guides run as they are written."""

import re
from collections.abc import Iterator
from pathlib import Path

from config.settings.env import BASE_DIR

FOLDERS = ("apps", "config", "durable")
GUIDES = ("README.md", "AGENTS.md", "docs/*.md", "durable/README.md")
# In a container there is one Python; elsewhere, only the environment's has the packages.
RUNS_ANYWHERE = re.compile(r"(\.venv/bin/| web | -- )python manage\.py")


def texts() -> Iterator[tuple[Path, str]]:
    """Yield each page, module and template of the project that is no test."""
    for pattern in GUIDES:
        for path in BASE_DIR.glob(pattern):
            yield path, path.read_text("utf-8")
    for folder in FOLDERS:
        for path in sorted((BASE_DIR / folder).rglob("*")):
            if path.suffix in {".py", ".html", ".txt"} and "tests" not in path.parts:
                yield path, path.read_text("utf-8")


def test_each_make_command_is_a_target_of_the_makefile():
    targets = set(
        re.findall(r"^([a-z][a-z-]*):", (BASE_DIR / "Makefile").read_text(), re.MULTILINE)
    )
    named = {
        (path, target)
        for path, text in texts()
        for target in re.findall(r"(?:`|^ *\$ )make ([a-z][a-z-]*)", text, re.MULTILINE)
    }

    assert named
    assert [each for each in named if each[1] not in targets] == []


def test_no_command_names_a_python_that_may_lack_the_packages():
    found = [
        f"{path}: {line.strip()}"
        for path, text in texts()
        for line in text.splitlines()
        if re.search(r"python3? manage\.py", line) and not RUNS_ANYWHERE.search(line)
    ]

    assert found == []
