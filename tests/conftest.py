"""Options of the template's tests, and an environment without the user's own configuration."""

import os
from collections.abc import Iterator

import pytest

pytest_plugins = ["tests.proof", "tests.rendering", "tests.running"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the caller ask for more."""
    parser.addoption(
        "--every-test", action="store_true", help="run all tests of each of the 180 trees"
    )
    parser.addoption(
        "--reliability", action="store_true", help="write the table of tests/chaos into its page"
    )
    parser.addoption(
        "--screenshots", action="store_true", help="keep the pictures that tests/browser takes"
    )


@pytest.fixture(scope="session", autouse=True)
def _own_configuration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hide the user's own configuration from git and Cookiecutter."""
    folder = tmp_path_factory.mktemp("configuration")
    config = folder / "cookiecutter.yaml"
    config.write_text(
        f"cookiecutters_dir: {folder / 'templates'}\nreplay_dir: {folder / 'replay'}\n",
        encoding="utf-8",
    )
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("GIT_")]:
            patch.delenv(name)
        patch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        patch.setenv("XDG_CONFIG_HOME", str(folder))
        patch.setenv("COOKIECUTTER_CONFIG", str(config))
        yield
