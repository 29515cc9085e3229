"""The hooks, options and fixtures of the plugin."""

import gc
import os
import time
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from typing import Any

import django
import pytest

from durable.testing import runlog
from durable.testing.forks import factory
from durable.testing.servers import (
    Mailbox,
    Redis,
    new_directory,
    redis,
    smtp,
    stack,
    start_or_exit,
    start_postgresql,
    start_sqlite,
)
from durable.testing.workers import Worker

PRESET = os.environ.get("DJANGO_SETTINGS_MODULE")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the plugin."""
    parser.addoption(
        "--database",
        choices=("postgresql", "sqlite"),
        default="postgresql",
        help="the database of the tests (default: postgresql)",
    )
    parser.addoption(
        "--production-worker",
        action="store_true",
        help="start the first worker by production's command instead of a fork, which is faster",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Start the servers, set up Django with their addresses, and prepare to fork workers."""
    if PRESET:
        pytest.exit(
            f"DJANGO_SETTINGS_MODULE is {PRESET} in the environment, so Django would read its "
            "settings before the servers of the tests are up: unset it",
            returncode=3,
        )
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        prepare_for_several_processes(config)
        return
    if config.option.collectonly or config.option.help:
        os.environ["DATABASE_URL"] = "sqlite://:memory:"
    else:
        start_servers(config)
    # billiard reads it on import, and the workers are forks of this process.
    os.environ["REMAP_SIGTERM"] = "SIGQUIT"
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings.test"
    django.setup()
    factory.open()


def prepare_for_several_processes(config: pytest.Config) -> None:
    """Start one PostgreSQL for all processes of pytest-xdist; each has its own database and Redis.

    A server that does not start is reported here once, and not by each process.
    """
    directory = new_directory()
    with ThreadPoolExecutor() as pool:
        broker = pool.submit(start_or_exit, "Redis", redis.start, directory)
        if config.option.database == "postgresql" and "TEST_DATABASE_URL" not in os.environ:
            url = start_or_exit("PostgreSQL", start_postgresql, directory)
            os.environ["TEST_DATABASE_URL"] = url
        broker.result()
    redis.stop()


def start_servers(config: pytest.Config) -> None:
    """Start the database and Redis, and put their addresses into the environment."""
    directory = new_directory()
    start = {"postgresql": start_postgresql, "sqlite": start_sqlite}[config.option.database]
    with ThreadPoolExecutor() as pool:
        database = pool.submit(start_or_exit, "PostgreSQL", start, directory)
        broker = pool.submit(start_or_exit, "Redis", redis.start, directory)
        import_module("django.test")  # takes as long as PostgreSQL, and reads no settings
        import_module("config")
    os.environ |= {
        "DATABASE_URL": database.result(),
        "REDIS_URL": broker.result(),
        "EMAIL_URL": f"smtp://127.0.0.1:{smtp.port}",
        "HEALTH_DIRECTORY": str(directory / "health"),
    }
    # There is no need to drop a database whose server is thrown away.
    config.option.reuse_db |= "TEST_DATABASE_URL" not in os.environ


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start the SMTP server.

    Not earlier: it is a thread, and workers are forked from a copy of this process.
    """
    if session.items and not session.config.option.collectonly:
        gc.freeze()  # otherwise scanning these objects over and over takes a tenth of the time
        gc.set_threshold(50_000)  # objects
        smtp.start()
        stack.callback(smtp.stop)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, Any]:
    """Show the worker's log below a failed test that used the worker."""
    report = yield
    worker = getattr(item, "funcargs", {}).get("worker")
    if report.failed and isinstance(worker, Worker) and not worker.log.closed:
        report.sections.append(("Log of the worker", worker.output()))
    return report


def pytest_unconfigure() -> None:
    """Stop what was started."""
    stack.close()


@pytest.fixture(scope="session")
def django_db_modify_db_settings_xdist_suffix() -> None:
    """Keep the name of the database: the worker gets it by DATABASE_URL, and it is private."""


@pytest.fixture(scope="session", autouse=True)
def _delete_rows_instead_of_flushing() -> None:
    """Delete rows after tests with `django_db(transaction=True)`.

    Flushing takes ten times as long, since Django creates all permissions again after it.
    """
    from django.test import TransactionTestCase  # noqa: PLC0415 - needs Django's settings

    TransactionTestCase._fixture_teardown = delete_rows  # type: ignore[attr-defined]


def delete_rows(_case: object) -> None:
    """Delete all rows except those that migrations made; wait for a worker that still writes."""
    from django.db import IntegrityError, OperationalError  # noqa: PLC0415 - needs the settings

    for pause in (0.1, 0.2, 0.4, 0.8, 1.6):  # seconds
        with suppress(IntegrityError, OperationalError):
            delete_all()
            return
        time.sleep(pause)
    delete_all()


def delete_all() -> None:
    """Delete the rows of all tables at once, since foreign keys are checked on commit."""
    from django.contrib.auth.models import Permission  # noqa: PLC0415 - needs Django's settings
    from django.contrib.contenttypes.models import ContentType  # noqa: PLC0415 - the same
    from django.db import connection  # noqa: PLC0415 - the same

    models = set(django.apps.apps.get_models(include_auto_created=True))
    tables = {model._meta.db_table for model in models - {ContentType, Permission}}
    connection.ops.execute_sql_flush(
        [f"DELETE FROM {connection.ops.quote_name(table)}" for table in sorted(tables)]
    )


@pytest.fixture
def mailbox(settings: Any) -> Iterator[Mailbox]:
    """The SMTP server: empty, accepting every mail, and without open connections."""
    from durable.mail import connection  # noqa: PLC0415 - needs Django's settings

    # Django's test runner keeps mail in memory.
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    smtp.clear()
    yield smtp
    connection.close()
    smtp.clear()


@pytest.fixture
def redis_server() -> Iterator[Redis]:
    """The Redis of the tests, to stop, hang, fill and flush; it works again after the test."""
    from durable.broker.circuit import Circuit  # noqa: PLC0415 - needs Django's settings

    yield redis
    if redis.server._process is None:
        redis.restart()
    redis.hang(hung=False)
    redis.fill(full=False)
    redis.demote(replica=False)
    for circuit in Circuit.all:
        circuit.close()


@pytest.fixture(scope="session", autouse=True)
def running_worker(request: pytest.FixtureRequest) -> Iterator[Worker | None]:
    """One worker for the session if a test uses it; it starts while other tests run."""
    if not any("worker" in getattr(item, "fixturenames", ()) for item in request.session.items):
        yield None
        return
    with redis.behind_a_blackhole() as hole:
        worker = Worker(hole=hole)
        worker.start(as_in_production=request.config.getoption("production_worker"))
        request.getfixturevalue("django_db_setup")
        yield worker
        worker.kill()


@pytest.fixture
def worker(running_worker: Worker) -> Worker:
    """The running worker; a test may kill it. The list of what ran is empty."""
    runlog.forget()
    running_worker.wait()
    return running_worker
