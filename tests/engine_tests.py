"""The engine's own tests: which of them fit a rendered project, and how they get into it.

They stay in the template, since a service does not run the tests of its engine. Every distinct tree
runs those that fit its answers.
"""

import shutil
from pathlib import Path, PurePosixPath

from tests.option_space import Answers, Template
from tests.rendering import PROJECT, ROOT

PROVIDERS = Template(ROOT).choices("email_provider")
# File: the question that decides about it, and the answers that it fits. All other files fit always.
FITS: dict[str, tuple[str, set[object]]] = {
    "config/tests/test_asgi.py": ("use_channels", {True}),
    "config/tests/test_contact_outages.py": ("use_examples", {True}),
    "config/tests/test_flower.py": ("use_flower", {True}),
    "config/tests/test_live_outages.py": ("use_channels", {True}),
    "config/tests/test_queues_by_priority.py": ("queues", {"by_priority"}),
    "config/tests/test_queues_by_workload.py": ("queues", {"by_workload"}),
    "durable/tests/test_provider.py": ("email_provider", {*PROVIDERS} - {"smtp"}),
    "durable/tests/test_provider_reports.py": (
        "email_provider",
        {*PROVIDERS} - {"smtp", "scaleway"},
    ),
    "durable/tests/providers/__init__.py": ("email_provider", {*PROVIDERS} - {"smtp"}),
    **{
        f"durable/tests/providers/{provider}.py": ("email_provider", {provider})
        for provider in PROVIDERS
        if provider != "smtp"
    },
}


def engine_tests(root: Path) -> list[str]:
    """Return the paths of the engine's tests inside the project, from the template in `root`."""
    folder = root / PROJECT
    paths = [
        path.relative_to(folder).as_posix()
        for top in ("config", "durable")
        for path in sorted((folder / top).rglob("*.py"))
    ]
    return [path for path in paths if "tests" in PurePosixPath(path).parts]


def fits(path: str, answers: Answers) -> bool:
    """Return whether a test of the engine can run in the project that the answers render."""
    question, values = FITS.get(path, ("", set()))
    return not question or answers[question] in values


def add_engine_tests(root: Path, project: Path, answers: Answers) -> None:
    """Copy the engine's tests that fit the answers into a project."""
    for path in engine_tests(root):
        if fits(path, answers):
            (project / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / PROJECT / path, project / path)
