"""The template's pages: each command, link and path in them exists."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rendering import PROJECT, ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def targets() -> set[str]:
    """Return the targets of both Makefiles."""
    makefiles = (ROOT / "Makefile", ROOT / PROJECT / "Makefile")
    return {
        target
        for makefile in makefiles
        for target in re.findall(r"^([a-z][a-z-]*):", makefile.read_text("utf-8"), re.MULTILINE)
    }


def links(text: str) -> Iterator[str]:
    """Yield the targets of links and pictures that are files of this repository."""
    for link in re.findall(r"\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"", text):
        path = (link[0] or link[1]).partition("#")[0]
        if path and "://" not in path and not path.startswith("mailto:"):
            yield path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_make_command_is_a_target(page: Path) -> None:
    named = re.findall(r"(?:`|^ *\$ )make ([a-z][a-z-]*)", page.read_text("utf-8"), re.MULTILINE)

    assert {*named} <= targets()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_link_leads_to_a_file(page: Path) -> None:
    missing = [each for each in links(page.read_text("utf-8")) if not (page.parent / each).exists()]

    assert missing == []
