"""Answers from the whole space, hostile texts included: refused in one line each, or a project."""

import os
import string
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.forks import IN_TESTS, ForkServer, manage
from tests.option_space import CODED, Answers, Template, Tree
from tests.rendering import ROOT

SETS = 500  # of answers
SPACE = Template(ROOT)
# What breaks out of strings, lines, templates, shells, YAML, TOML, HTML or folders.
HOSTILE = [
    *(
        "'",
        '"',
        '"""',
        "'''",
        "\\",
        "\\'",
        '\\"',
        "`id`",
        "$(id)",
        "${HOME}",
        "$HOME",
        "%s",
        "%(x)s",
    ),
    *("{{", "}}", "{%", "%}", "{#", "# %", "{{ 7*7 }}", "{0}", "{x}", "#", "//", "/* */", "-- "),
    *("\n", "\r\n", "\t", "\0", "\x1b[31m", "\u2028", "\u202e", "\u200b", "\ufeff", "\udce4"),
    *(
        "../",
        "/etc/passwd",
        "C:\\",
        "con",
        "null",
        "true",
        "~",
        "- a: b",
        "&x",
        "*x",
        "!!python",
        "|",
    ),
    *(
        "<script>",
        "</textarea>",
        "]]>",
        "&amp;",
        "@",
        ":",
        ",",
        ";",
        " ",
        "",
        "\u00e9",
        "e\u0301",
        "服务",
        "👩\u200d💻",
    ),
]
TEXT = st.lists(
    st.one_of(
        st.sampled_from(HOSTILE), st.text(max_size=8), st.text(string.ascii_letters, max_size=8)
    ),
    min_size=1,
    max_size=4,
).map("".join)
# Odd, and good: all that a title may hold.
TITLE = (
    st.text(st.sampled_from("aB7 '\"\\`$&<>%|,;:.!?*-_~@é服🚀}"), min_size=1, max_size=40)
    .map(str.strip)
    .filter(bool)
)
GOOD: dict[str, st.SearchStrategy[str]] = {
    "project_name": TITLE,
    "project_slug": st.from_regex(r"[a-z][a-z0-9]{2,9}([_-][a-z0-9]{1,9}){0,2}", fullmatch=True),
    "description": TITLE,
    "domain_name": st.from_regex(
        r"[a-z][a-z0-9]{0,9}(-[a-z0-9]{1,5})?\.(com|example)", fullmatch=True
    ),
    "author_name": TITLE,
    "author_email": st.from_regex(r"[a-z0-9+']{1,9}@[a-z]{1,9}\.example", fullmatch=True),
    "timezone": st.sampled_from(["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires"]),
}
CHOICES = {question: st.sampled_from(SPACE.choices(question)) for question in CODED}


@st.composite
def answers(draw: st.DrawFn) -> Answers:
    """Draw an answer to each question; in one set of six, all texts are good."""
    hostile = draw(st.integers(0, 5)) > 0
    texts = {
        question: draw(st.one_of(TEXT, good) if hostile else good)
        for question, good in GOOD.items()
    }
    return {**texts, **{question: draw(choice) for question, choice in CHOICES.items()}}


def context(space: Template, given: Answers) -> Answers:
    """Return the answers with the private variables that Cookiecutter makes of them."""
    fixed = {name: value for name, value in space.questions.items() if name.startswith("_")}
    complete = {**fixed, **given}
    for name, source in space.private():
        complete[name] = space.environment.from_string(source).render(cookiecutter=complete)
    return complete


def refusals(hook: str) -> dict[str, str]:
    """Run the rendered hook that looks at answers; return its lines."""
    namespace: dict[str, Any] = {"__name__": "hook"}
    exec(compile(hook, "pre_gen_project.py", "exec"), namespace)
    found: dict[str, str] = namespace["problems"]()
    return found


def write(folder: Path, tree: Tree, before: Tree) -> None:
    """Write a project over the last one, only what differs from it.

    Python takes up what it compiled from a file of the same size and date, so a file's content dates it.
    """
    for path in before.keys() - tree.keys():
        (folder / path).unlink()
    for path, text in tree.items():
        if before.get(path) != text:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
            date = zlib.crc32(text.encode())
            os.utime(folder / path, (date, date))


@pytest.fixture
def check(
    tmp_path: Path, fork_server: ForkServer, environment: dict[str, str]
) -> Callable[[Tree], str]:
    """Return a function that runs Django's check on a project and returns what it complains about."""
    last: Tree = {}

    def check(tree: Tree) -> str:
        write(tmp_path, tree, last)
        last.clear()
        last.update(tree)
        status, output = fork_server.run(manage("check"), tmp_path, {**environment, **IN_TESTS})
        return "" if status == 0 else output

    return check


def test_any_answers_are_refused_in_a_line_each_or_make_a_project(
    template: Path, check: Callable[[Tree], str]
) -> None:
    space = Template(template)
    source = (template / "hooks/pre_gen_project.py").read_text(encoding="utf-8")
    hook = space.environment.from_string(source)
    verdicts = {"refused": 0, "rendered": 0}

    @settings(
        max_examples=SETS,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(answers())
    def look(given: Answers) -> None:
        complete = context(space, given)
        # As a typed answer comes: Cookiecutter renders nothing in it, and makes it JSON for the hook.
        found = refusals(hook.render(cookiecutter=complete))
        if found:
            verdicts["refused"] += 1
            for question, line in found.items():
                assert line.startswith(f"{question}: ")
                assert len(line.splitlines()) == 1
        else:
            verdicts["rendered"] += 1
            assert not (complaint := check(space.tree(complete))), complaint

    look()

    print(f"\n{verdicts['refused']} sets of answers refused, {verdicts['rendered']} rendered")
    assert sum(verdicts.values()) >= SETS
    assert min(verdicts.values()) >= SETS / 10
