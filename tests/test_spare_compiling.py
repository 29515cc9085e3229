"""The extension that spares compiling renders what Jinja alone does, and stops no render."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from cookiecutter.utils import create_env_with_context
from jinja2 import DictLoader, Environment

from tests.conftest import Cookiecutter

EXTENSION = "spare_compiling.SpareCompiling"
CONTEXT = {"cookiecutter": {"name": "Ada"}}


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder in which programs write what is temporary."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    return folder


def environment(*extensions: str, **settings: Any) -> Environment:
    """Return Cookiecutter's environment for a template with these settings."""
    questions = {"_extensions": list(extensions), "_jinja2_env_vars": settings}
    return create_env_with_context({"cookiecutter": questions})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "durable/mail/models.py",
        "C:\\projects\\größe % 1",
        "two\r\nlines\n",
        "# % if cookiecutter.name",
        "# % if cookiecutter.name\nyes\n# % endif\n",
        "{{ cookiecutter.name }}/{# no #}main.py",
    ],
)
def test_a_text_renders_as_without_the_extension(text: str) -> None:
    def outcome(*extensions: str) -> str:
        try:
            template = environment(*extensions, line_statement_prefix="# %").from_string(text)
            return template.render(CONTEXT)
        except Exception as error:  # noqa: BLE001 - a refused text is refused alike
            return repr(error)

    assert outcome(EXTENSION) == outcome()


def test_a_file_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def render() -> str:
        one = environment(EXTENSION)
        one.loader = DictLoader({"file": "{{ cookiecutter.name }}"})
        return one.get_template("file").render(CONTEXT)

    assert render() == "Ada"
    monkeypatch.delattr(Environment, "_generate")
    assert render() == "Ada"


def test_a_text_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def render(text: str) -> str:
        return environment(EXTENSION).from_string(text).render(CONTEXT)

    assert render("{{ cookiecutter.name }}") == "Ada"
    monkeypatch.delattr(Environment, "_generate")
    assert render("{{ cookiecutter.name }}") == "Ada"
    with pytest.raises(AttributeError):
        render("{{ cookiecutter.name }}!")


def test_code_is_not_shared_between_settings() -> None:
    def render(prefix: str) -> str:
        one = environment(EXTENSION, line_statement_prefix=prefix)
        one.loader = DictLoader({"file": "# % if false\nhidden\n# % endif\n"})
        return one.get_template("file").render(CONTEXT)

    assert (render("# %"), "hidden" in render("// %")) == ("", True)


def test_a_cache_that_is_not_the_users_own_is_not_used(
    temporary_folder: Path, cookiecutter: Cookiecutter, tmp_path: Path
) -> None:
    cookiecutter("--no-input")
    (cache,) = temporary_folder.glob("_jinja2-cache-*")
    shutil.rmtree(cache)
    cache.symlink_to(tmp_path)
    assert cookiecutter("--no-input", "project_slug=second").returncode == 0
    assert not list(tmp_path.glob("*.cache"))
