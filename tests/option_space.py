"""The space of all answers to the questions with choices, rendered in memory.

A file is rendered once for each set of the answers that it names; the same text is kept once. What
Cookiecutter itself would do with it is proven by `test_covering_array.py`, which compares the two.
"""

import fnmatch
import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from cookiecutter.generate import apply_overwrites_to_context, generate_context
from cookiecutter.prompt import prompt_for_config
from cookiecutter.utils import create_env_with_context

from tests.rendering import PROJECT

NAMED = re.compile(r"cookiecutter\.(\w+)")
CODED = (
    "email_provider",
    "queues",
    "use_channels",
    "use_flower",
    "use_examples",
    "deployment",
    "ci",
)
WORDS = {
    "use_channels": {True: "Channels", False: "no Channels"},
    "use_flower": {True: "Flower", False: "no Flower"},
    "use_examples": {True: "examples", False: "no examples"},
    "ci": {"none": "no CI"},
}

Answers = dict[str, Any]
Tree = dict[str, str]


@dataclass(frozen=True)
class Combination:
    """One answer to each of the questions with choices."""

    answers: tuple[tuple[str, Any], ...]

    @cached_property
    def words(self) -> str:
        """The combination as a person would say it: the name of its test."""
        return ", ".join(str(WORDS.get(name, {}).get(value, value)) for name, value in self.answers)

    @cached_property
    def command(self) -> str:
        """What renders the combination, from the template's folder."""
        pairs = " ".join(f"{name}={value}" for name, value in self.answers)
        return f"cookiecutter . --no-input --output-dir /tmp {pairs}"


def matches(path: str, patterns: list[str]) -> bool:
    """Return whether a path matches one of the patterns, as Cookiecutter compares them."""
    return any(fnmatch.fnmatch(path, pattern) for pattern in patterns)


@dataclass
class Template:
    """A template that is rendered in memory.

    Args:
        root: the folder with cookiecutter.json.
    """

    root: Path
    rendered: dict[tuple[Any, ...], str] = field(default_factory=dict)

    @cached_property
    def questions(self) -> dict[str, Any]:
        """The content of cookiecutter.json."""
        content: dict[str, Any] = json.loads(
            (self.root / "cookiecutter.json").read_text(encoding="utf-8")
        )
        return content

    @cached_property
    def combinations(self) -> list[Combination]:
        """All of them, in the order of the questions."""
        choices = {name: self.choices(name) for name in CODED}
        return [
            Combination(tuple(zip(choices, values, strict=True)))
            for values in itertools.product(*choices.values())
        ]

    def choices(self, question: str) -> list[Any]:
        """Return what may be answered to a question with choices."""
        default = self.questions[question]
        return [True, False] if isinstance(default, bool) else list(default)

    def context(self, answers: Answers) -> Answers:
        """Return what Cookiecutter makes of answers: all variables, the private ones too."""
        context = generate_context(str(self.root / "cookiecutter.json"))
        apply_overwrites_to_context(context["cookiecutter"], dict(answers))
        return dict(prompt_for_config(context, no_input=True))

    @cached_property
    def environment(self) -> Any:
        """Cookiecutter's own Jinja environment for this template."""
        return create_env_with_context(generate_context(str(self.root / "cookiecutter.json")))

    @cached_property
    def sources(self) -> dict[str, str]:
        """The text of every file of the project by its path; a file that is not text is an error."""
        folder = self.root / PROJECT
        paths = {
            path.relative_to(folder).as_posix(): path
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        return {
            name: path.read_text("utf-8")
            for name, path in paths.items()
            if not self.is_left_by_tools(name)
        }

    def is_left_by_tools(self, path: str) -> bool:
        """Return whether the post hook removes a path, or a folder that it is in."""
        names = (path, *map(str, PurePosixPath(path).parents))
        return any(matches(name, self.questions["_left_by_tools"]) for name in names)

    def is_copied(self, path: str) -> bool:
        """Return whether Cookiecutter copies a file instead of rendering it."""
        return matches(path, self.questions["_copy_without_render"])

    @cached_property
    def named(self) -> dict[str, tuple[str, ...]]:
        """The questions that decide the text of each file, by its path; () for a copied one."""
        return {
            path: () if self.is_copied(path) else self.questions_in(text)
            for path, text in self.sources.items()
        }

    def questions_in(self, text: str) -> tuple[str, ...]:
        """Return the questions that a template names, also through private variables."""
        names, found = set(NAMED.findall(text)), set()
        while names:
            name = names.pop()
            if name.startswith("_"):
                names |= set(NAMED.findall(self.questions[name]))
            else:
                found.add(name)
        return tuple(sorted(found))

    @cached_property
    def compiled(self) -> dict[str, Any]:
        """Each rendered file as Jinja's template."""
        return {
            path: self.environment.from_string(text)
            for path, text in self.sources.items()
            if not self.is_copied(path)
        }

    def text(self, path: str, context: Answers) -> str:
        """Return a file as it is rendered for a context."""
        if path not in self.compiled:
            return self.sources[path]
        key = (path, *(context[name] for name in self.named[path]))
        if key not in self.rendered:
            self.rendered[key] = self.compiled[path].render(cookiecutter=context)
        return self.rendered[key]

    def dropped(self, context: Answers) -> list[str]:
        """Return the files and folders that the post hook removes for a context."""
        return [
            path
            for path, answers in self.questions["_parts"].items()
            if not any(str(context[name]) in kept for name, kept in answers.items())
        ]

    def tree(self, context: Answers) -> Tree:
        """Return the text of each file of the project that a context renders, by its path."""
        gone = self.dropped(context)
        folders = tuple(f"{path}/" for path in gone)
        return {
            path: self.text(path, context)
            for path in self.sources
            if path not in gone and not path.startswith(folders)
        }

    def trees(self) -> Iterator[tuple[Combination, Tree]]:
        """Yield each combination with its project."""
        base = self.context({})
        private = {name: self.environment.from_string(source) for name, source in self.private()}
        for combination in self.combinations:
            context = {**base, **dict(combination.answers)}
            for name, template in private.items():
                context[name] = template.render(cookiecutter=context)
            yield combination, self.tree(context)

    def private(self) -> list[tuple[str, str]]:
        """Return the private variables and their templates."""
        return [
            (name, source)
            for name, source in self.questions.items()
            if name.startswith("__") and isinstance(source, str)
        ]
