"""A set of projects in which each two answers meet, rendered with hooks and started as a user does.

Redis, web, workers, Beat and, where chosen, Flower run; one mail goes through a worker over SMTP.
"""

import itertools
import re
import shutil
import signal
import socket
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import covertable
import pytest

from scripts.demo import Mailbox, free_port
from tests.forks import ForkServer, manage
from tests.option_space import CODED, Combination, Template
from tests.rendering import ROOT, Bake
from tests.running import Retry, Settle
from tests.test_dev import Terminal

SPACE = Template(ROOT)
CHOICES = {question: SPACE.choices(question) for question in CODED}
ARRAY = [
    Combination(tuple((question, row[question]) for question in CODED))
    for row in covertable.make(CHOICES)
]


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    """Return an SMTP server that keeps what it gets."""
    mailbox = Mailbox()
    mailbox.start()
    yield mailbox
    mailbox.stop()


def status(port: int, secret: str = "") -> int:
    """Return what Flower answers to who knows a secret, or none."""
    request = Request(f"http://127.0.0.1:{port}/workers")
    if secret:
        request.add_header("Authorization", f"Basic {b64encode(secret.encode()).decode()}")
    try:
        with urlopen(request) as response:
            return int(response.status)
    except HTTPError as refusal:
        with refusal:
            return refusal.code


def answers(port: int) -> bool:
    """Say whether somebody listens on a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def lines_of(project: Path, prefix: str) -> list[str]:
    """Return the Procfile's lines whose names begin with a prefix."""
    procfile = (project / "Procfile").read_text(encoding="utf-8")
    return re.findall(rf"^({prefix}[\w-]*):", procfile, re.MULTILINE)


def contents(project: Path) -> dict[str, str]:
    """Return what Cookiecutter and the hooks have written, the secrets aside."""
    names = {path: path.relative_to(project).as_posix() for path in project.rglob("*")}
    return {
        name: path.read_text(encoding="utf-8")
        for path, name in names.items()
        if path.is_file() and name != ".env" and not name.startswith(".git/")
    }


def in_memory(template: Path, row: Combination) -> dict[str, str]:
    """Return the same as the proof of all combinations has rendered it."""
    space = Template(template)
    return space.tree(space.context(dict(row.answers)))


def test_each_two_answers_meet() -> None:
    for one, other in itertools.combinations(CODED, 2):
        met = {(dict(row.answers)[one], dict(row.answers)[other]) for row in ARRAY}
        assert len(met) == len(CHOICES[one]) * len(CHOICES[other])


def start_and_deliver(
    row: Combination, project: Path, mailbox: Mailbox, environment: dict[str, str]
) -> None:
    """Start a project, send a mail through it, and stop it."""
    mailbox.messages.clear()
    flower = free_port()
    terminal = Terminal(project)
    terminal.environment |= environment
    run = terminal.open(
        sys.executable, "-m", "config.dev", EMAIL_URL=mailbox.url, FLOWER_PORT=str(flower)
    )
    try:
        run.wait_until(run.is_ready)
        run.wait_until(lambda: terminal.healthcheck("beat") == "beat: running\n")

        sent = terminal.run(
            sys.executable, "manage.py", "send_test_email", "ann@example.com", EMAIL_URL=mailbox.url
        )
        assert ": sent after" in sent.stdout, sent.stdout + sent.stderr
        assert [message["To"] for message in mailbox.messages] == ["ann@example.com"]

        if lines_of(project, "flower"):
            example = (project / ".env").read_text(encoding="utf-8")
            (secret,) = re.findall("^FLOWER_BASIC_AUTH=(.+)$", example, re.MULTILINE)
            run.wait_until(lambda: answers(flower))
            assert (status(flower), status(flower, secret)) == (401, 200)
    except AssertionError as error:
        error.add_note(f"{row.command}\n{run.output()}")
        raise
    finally:
        run.stop(signal.SIGTERM)
    assert run.process.returncode == 0, run.output()
    assert run.leaves_nothing(), run.output()


def give_database(
    project: Path, kept: Path, server: ForkServer, environment: dict[str, str]
) -> None:
    """Bring a project to where its first migration ends, which takes a tenth of a row's time.

    Args:
        project: as it was rendered.
        kept: the database of a project with the same apps; made if it is not there.
        server, environment: what runs the migration.
    """
    if not kept.exists():
        local = {
            "DJANGO_SETTINGS_MODULE": "config.settings.local",
            "DATABASE_URL": f"sqlite:///{kept}",
        }
        status, output = server.run(manage("migrate"), project, environment | local)
        assert status == 0, output
    (project / "var").mkdir(exist_ok=True)
    shutil.copy(kept, project / "var/db.sqlite3")


@pytest.mark.parametrize("row", ARRAY, ids=lambda row: row.words)
def test_a_project_starts_and_delivers_a_mail(  # noqa: PLR0913, PLR0917 - fixtures
    row: Combination,
    bake: Bake,
    settle: Settle,
    mailbox: Mailbox,
    template: Path,
    place: Path,
    without_flower: Path,
    fork_server: ForkServer,
    environment: dict[str, str],
    retry: Retry,
) -> None:
    project = settle(bake(**dict(row.answers)))
    assert contents(project) == in_memory(template, row)
    given = dict(row.answers)
    kept = place / f"examples-{given['use_examples']}.sqlite3"
    give_database(project, kept, fork_server, environment)
    hidden = {} if given["use_flower"] else {"PYTHONPATH": str(without_flower)}
    retry(lambda: start_and_deliver(row, project, mailbox, hidden))
