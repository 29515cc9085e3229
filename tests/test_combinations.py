"""Every combination of answers: rendered, and each of its distinct files checked by its own tool."""

import ast
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.facts import DEPLOYMENT_FILES, documents, faults
from tests.option_space import Combination, Template, Tree
from tests.rendering import PROJECT, ROOT

COMBINATIONS = Template(ROOT).combinations
# Path of a file, and its text, with the first combination that has it.
Distinct = dict[tuple[str, str], Combination]
BIN = Path(sys.executable).parent
PARSERS: dict[str, Callable[[str], object]] = {
    ".py": ast.parse,
    ".toml": tomllib.loads,
    ".json": json.loads,
    ".yaml": documents,
    ".yml": documents,
}


@pytest.fixture(scope="session")
def trees(template: Path) -> dict[Combination, Tree]:
    """Return the project of each combination."""
    return dict(Template(template).trees())


@pytest.fixture(scope="session")
def distinct(trees: dict[Combination, Tree]) -> Distinct:
    """Return every file with every text that it has in any combination."""
    return distinct_files(trees)


@pytest.fixture(scope="session")
def variants(distinct: Distinct, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of projects that together hold each distinct file once."""
    folder = tmp_path_factory.mktemp("variants")
    lay_out(distinct, folder)
    return folder


def distinct_files(trees: dict[Combination, Tree]) -> Distinct:
    """Return every file with every text that it has in any combination, and the first that has it."""
    found: Distinct = {}
    for combination, tree in trees.items():
        for file in tree.items():
            found.setdefault(file, combination)
    return found


def lay_out(distinct: Distinct, folder: Path) -> None:
    """Write the first text of each file into one project, the second into another, and so on.

    Each of these folders gets a pyproject.toml, since ruff takes its rules from there.
    """
    count: dict[str, int] = {}
    configuration = next(text for path, text in distinct if path == "pyproject.toml")
    for path, text in distinct:
        number = count[path] = count.get(path, -1) + 1
        target = folder / str(number) / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    for project in folder.iterdir():
        if not (project / "pyproject.toml").exists():
            (project / "pyproject.toml").write_text(configuration, encoding="utf-8")


def files(variants: Path, *patterns: str) -> list[str]:
    """Return the files of all variants that fit a pattern; there has to be one."""
    found = sorted(str(path) for pattern in patterns for path in variants.glob(f"*/{pattern}"))
    assert found, f"no file fits {patterns}"
    return found


def run(variants: Path, distinct: Distinct, *command: str) -> None:
    """Run a tool, and fail with what it says and what renders the files that it names."""
    done = subprocess.run(
        [BIN / command[0], *command[1:]], check=False, capture_output=True, text=True, cwd=variants
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output + "\n".join(named_files(output, variants, distinct))


def named_files(output: str, variants: Path, distinct: Distinct) -> list[str]:
    """Return how to render each variant that a tool's output names."""
    return [
        f"\n{path}: {distinct[path, (variants / number / path).read_text('utf-8')].command}"
        for number, path in sorted(set(re.findall(r"\b(\d+)/([\w./-]+\w)", output)))
        if (path, (variants / number / path).read_text("utf-8")) in distinct
    ]


@pytest.mark.parametrize("combination", COMBINATIONS, ids=lambda combination: combination.words)
def test_the_files_of_a_combination_fit_together(
    combination: Combination, trees: dict[Combination, Tree]
) -> None:
    found = list(faults(trees[combination], dict(combination.answers)))
    assert not found, "\n".join([*found, combination.command])


def test_every_distinct_file_parses(distinct: Distinct) -> None:
    for (path, text), combination in distinct.items():
        try:
            PARSERS.get(Path(path).suffix, str)(text)
        except (SyntaxError, ValueError, yaml.YAMLError) as error:
            pytest.fail(f"{path}: {error}\n{combination.command}")


def test_ruff_finds_nothing(variants: Path, distinct: Distinct) -> None:
    run(variants, distinct, "ruff", "check", "--no-cache", "--output-format=concise", ".")
    run(variants, distinct, "ruff", "format", "--no-cache", "--check", ".")


def test_djlint_finds_nothing(variants: Path, distinct: Distinct) -> None:
    run(variants / "0", distinct, "djlint", "--check", "--lint", "apps")


def test_compose_files_are_valid(variants: Path, distinct: Distinct) -> None:
    found = files(variants, "compose.yaml")
    run(variants, distinct, "check-jsonschema", "--builtin-schema=vendor.compose-spec", *found)


def test_github_workflows_are_valid(variants: Path, distinct: Distinct) -> None:
    found = files(variants, ".github/workflows/*.yml")
    run(variants, distinct, "check-jsonschema", "--builtin-schema=vendor.github-workflows", *found)
    run(variants, distinct, "zizmor", "--offline", "--quiet", *found)


def test_gitlab_pipelines_are_valid(variants: Path, distinct: Distinct) -> None:
    found = files(variants, ".gitlab-ci.yml")
    run(
        variants,
        distinct,
        "check-jsonschema",
        "--builtin-schema=vendor.gitlab-ci",
        "--data-transform=gitlab-ci",
        *found,
    )


def test_dockerfiles_are_valid(variants: Path, distinct: Distinct) -> None:
    run(variants, distinct, "hadolint", *files(variants, "Dockerfile"))


def test_kubernetes_manifests_are_valid(variants: Path, distinct: Distinct) -> None:
    manifests = files(variants, "deploy/kubernetes/*.yaml")
    found = [path for path in manifests if not path.endswith("kustomization.yaml")]
    run(variants, distinct, "kubernetes-validate", "--strict", "--quiet", *found)


def test_kustomizations_name_files_that_are_there(trees: dict[Combination, Tree]) -> None:
    folder = "deploy/kubernetes/"
    for combination, tree in trees.items():
        if text := tree.get(f"{folder}kustomization.yaml"):
            named = {folder + path for path in documents(text)[0]["resources"]}  # type: ignore[index]
            examples = {folder + path for path in re.findall(r"^  # - (.+)$", text, re.MULTILINE)}
            present = {path for path in tree if path.startswith(folder)} - examples
            assert named == present - {f"{folder}kustomization.yaml"}, combination.command


def with_fault(template: Path, folder: Path, lines: str) -> Template:
    """Return a copy of the template that has a fault in the settings of one rare combination."""
    shutil.copytree(template, folder)
    rare = (
        'cookiecutter.email_provider == "mailjet" and cookiecutter.queues == "by_priority"'
        " and not cookiecutter.use_channels"
    )
    with (folder / PROJECT / "config/settings/base.py").open("a", encoding="utf-8") as settings:
        settings.write(f"# % if {rare}\n{lines}\n# % endif\n")
    return Template(folder)


def test_a_fault_in_one_rare_combination_is_found_and_named(template: Path, tmp_path: Path) -> None:
    trees = dict(with_fault(template, tmp_path / "broken", "def f(:").trees())

    guilty = [
        (path, combination)
        for (path, text), combination in distinct_files(trees).items()
        if path.endswith(".py") and not parses(text)
    ]

    assert guilty
    for path, combination in guilty:
        assert path == "config/settings/base.py"
        assert combination.words.startswith("mailjet, by_priority, no Channels")


def test_a_missing_part_in_one_rare_combination_is_found_and_named(
    template: Path, tmp_path: Path
) -> None:
    space = with_fault(template, tmp_path / "broken", "from config.nowhere import anything")

    guilty = {
        combination: found
        for combination, tree in space.trees()
        if combination.words.startswith(
            ("mailjet", "mandrill")
        )  # to look at all takes half a minute
        and (found := list(faults(tree, dict(combination.answers))))
    }

    assert len(guilty) == len(COMBINATIONS) // (15 * 3 * 2)
    for combination, found in guilty.items():
        assert combination.words.startswith("mailjet, by_priority, no Channels")
        assert found == ["config/settings/base.py: config.nowhere.anything is not in the project"]


@pytest.mark.parametrize("deployment", DEPLOYMENT_FILES)
def test_a_worker_that_would_be_killed_too_soon_is_found(template: Path, deployment: str) -> None:
    def found(**seconds: str) -> list[str]:
        space = Template(template)
        context = space.context({"deployment": deployment})
        return list(faults(space.tree(context | seconds), context))

    assert found() == []
    assert "not 10 s more than the tasks' 20 s" in found(__worker_grace_seconds="25")[0]
    assert "tasks get 60 s" in found(__worker_shutdown_seconds="60", __worker_grace_seconds="80")[0]


def test_a_log_that_would_fill_the_disk_is_found(template: Path) -> None:
    space = Template(template)
    context = space.context({"deployment": "compose"})
    tree = space.tree(context)
    tree["compose.yaml"] = tree["compose.yaml"].replace("logging: *logging", "tty: false")

    found = list(faults(tree, context))

    assert "compose.yaml: the log of web grows until the disk is full" in found
    assert len(found) == len(documents(tree["compose.yaml"])[0]["services"])  # type: ignore[index]


def parses(text: str) -> bool:
    """Say whether a text is Python."""
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def test_there_are_as_many_as_the_questions_allow(
    distinct: Distinct,
    trees: dict[Combination, Tree],
    record_property: Callable[[str, object], None],
) -> None:
    record_property("distinct files", len(distinct))
    assert len(trees) == len(COMBINATIONS) == 15 * 3 * 2 * 2 * 2 * 3 * 3
