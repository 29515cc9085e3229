"""`make demo`: renders a project, starts it as a newcomer would, and sends one mail through it."""

import argparse
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiosmtpd.controller import Controller

if TYPE_CHECKING:
    from email.message import EmailMessage

ROOT = Path(__file__).resolve().parents[1]
PROJECT = ROOT / "{{cookiecutter.project_slug}}"
RECIPIENT = "demo@example.com"
DELIVERED = "Queued, then delivered"
GROUPS = "GROUPS=--no-dev --group local"  # a demo needs no tools of tests and checks

READY_WITHIN = 90.0  # seconds; a slow machine compiles every module first
STOPPED_WITHIN = 20.0  # seconds; `make dev` kills after 10, Redis is given 5 more
LINES_SHOWN = 25  # of the output of a step that failed

ADDRESSES = """
Home page  {site}/
Admin      {site}/admin/
           log in as {account} with the password {password}
The mail   {site}/admin/mail/email/{email_id}/change/
Project    {project}
"""


class DemoError(Exception):
    """Why the demo ends, with the last lines that say more."""

    def __init__(self, reason: str, output: str = "") -> None:
        super().__init__(reason)
        self.output = "\n".join(output.splitlines()[-LINES_SHOWN:])


class Mailbox(Controller):
    """An SMTP server that prints each mail and keeps it."""

    def __init__(self) -> None:
        super().__init__(self, hostname="127.0.0.1", port=free_port())
        self.messages: list[EmailMessage] = []

    @property
    def url(self) -> str:
        """What EMAIL_URL has to say."""
        return f"smtp://{self.hostname}:{self.port}"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        """Take a mail."""
        message = message_from_bytes(envelope.content, policy=policy.default)
        self.messages.append(message)
        print(f"  a mail arrived: to {message['To']}, subject: {message['Subject']}", flush=True)
        return "250 OK"


class Steps:
    """Shows what happens while it happens, and how long it took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, doing: str, done: str) -> Iterator[None]:
        """Announce a step, and remember its time under the name that it has when it is `done`."""
        print(f"{doing} ...", flush=True)
        started = time.monotonic()
        yield
        self.seconds[done] = time.monotonic() - started
        print(f"  {self.seconds[done]:.1f} s", flush=True)

    def summary(self) -> str:
        """Return one line for each step."""
        return "\n".join(f"{name:<22}{took:6.2f} s" for name, took in self.seconds.items())


def main() -> int:
    """Run the demo; return 0 after the delivery (with --once) or Ctrl-C (without), else 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the delivery")
    once = parser.parse_args().once
    # Both end like Ctrl-C, so that nothing is left running.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.default_int_handler)
    mailbox = Mailbox()
    mailbox.start()
    try:
        with tempfile.TemporaryDirectory(prefix="demo-", ignore_cleanup_errors=True) as folder:
            demo(Path(folder), mailbox, once=once)
    except DemoError as error:
        print(f"{error.output}\n\nmake demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; nothing is left running.")
        return int(once)
    finally:
        mailbox.stop()
    return 0


def demo(folder: Path, mailbox: Mailbox, *, once: bool) -> None:
    """Go through all steps.

    Args:
        folder: an empty folder outside of every git repository.
        mailbox: where the service sends its mails.
        once: end after the delivery, not with Ctrl-C.

    Raises:
        DemoError: a step failed.
    """
    steps = Steps()
    environment = clean_environment() | {"EMAIL_URL": mailbox.url}
    with steps.step("Rendering with the default answers", "Rendered"):
        project = render(folder, environment)
    with steps.step("Installing: make install", "Installed"):
        run(["make", "install", f"PYTHON={sys.executable}", GROUPS], project, environment)
    with steps.step("Migrating: make migrate", "Migrated"):
        run(["make", "migrate"], project, environment)
    password = secrets.token_urlsafe(12)
    with steps.step("Making an account for the admin", "Account made"):
        run(
            [".venv/bin/python", "manage.py", "createsuperuser", "--noinput", "--email", RECIPIENT],
            project,
            environment | {"DJANGO_SUPERUSER_PASSWORD": password},
        )
    port = free_port()
    with running(project, port, environment) as service:
        with steps.step(f"Starting: make dev PORT={port}", "Workers ready"):
            service.wait_until_ready()
        with steps.step(f"Sending: manage.py send_test_email {RECIPIENT}", DELIVERED):
            email_id, took = send(project, environment)
        check_arrival(mailbox, email_id)
        steps.seconds[DELIVERED] = took  # without the start of the command
        print(f"\n{steps.summary()}")
        if once:
            return
        print(
            ADDRESSES.format(
                site=service.site,
                account=RECIPIENT,
                password=password,
                email_id=email_id,
                project=project,
            )
        )
        print("Ctrl-C stops everything and removes the project.", flush=True)
        service.wait_until_it_ends()


def clean_environment() -> dict[str, str]:
    """Return this process' environment without the variables that would reach into the project.

    These are all names that the project reads, so that your own database and Redis are left alone,
    and the variables that `make` gives to a `make` that it starts.
    """
    example = (PROJECT / ".env.example").read_text(encoding="utf-8")
    names = re.findall(r"^#? ?([A-Z_]+)=", example, re.MULTILINE)
    foreign = {*names, "DJANGO_SETTINGS_MODULE", "MAKEFLAGS", "MAKELEVEL", "MFLAGS", "VENV"}
    # A project's own environment keeps its compiled modules, as it would for a newcomer.
    foreign |= {"PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV"}
    kept = {name: value for name, value in os.environ.items() if name not in foreign}
    tools = ROOT / ".tools" / "bin"  # where uv is, if this template had to install it
    return kept | {"PATH": f"{kept['PATH']}{os.pathsep}{tools}"}


def render(folder: Path, environment: dict[str, str]) -> Path:
    """Render the template with its default answers, and return the project's folder."""
    command = [sys.executable, "-m", "cookiecutter", "--no-input", "--default-config"]
    run([*command, "--output-dir", str(folder), str(ROOT)], ROOT, environment)
    (project,) = folder.iterdir()
    return project


def run(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    """Run a command in `folder`, and return its output.

    Raises:
        DemoError: it failed.
    """
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate()
        finally:
            stop(process)
    if process.returncode:
        raise DemoError(f"`{' '.join(command)}` failed with {process.returncode}", output)
    return output


class Service:
    """A running `make dev`.

    Args:
        process: its process.
        log: the file that takes its output.
        site: the address of its home page.
    """

    def __init__(self, process: subprocess.Popen[bytes], log: Path, site: str) -> None:
        self.process = process
        self.log = log
        self.site = site

    def output(self) -> str:
        """Return what the service has printed so far."""
        return self.log.read_text(errors="replace")

    def wait_until_ready(self) -> None:
        """Return once web and all workers are ready."""
        self.wait_for(lambda: "\nReady. " in self.output(), "the service")

    def wait_for(self, condition: Callable[[], object], part: str) -> None:
        """Return once `condition` holds.

        Raises:
            DemoError: the service has ended, or READY_WITHIN is over.
        """
        deadline = time.monotonic() + READY_WITHIN
        while not condition():
            if self.process.poll() is not None:
                raise DemoError("`make dev` has ended", self.output())
            if time.monotonic() > deadline:
                raise DemoError(f"{part} is not ready after {READY_WITHIN:g} s", self.output())
            time.sleep(0.1)

    def wait_until_it_ends(self) -> None:
        """Wait for Ctrl-C.

        Raises:
            DemoError: the service has ended by itself.
        """
        self.process.wait()
        raise DemoError("`make dev` has ended", self.output())


@contextmanager
def running(project: Path, port: int, environment: dict[str, str]) -> Iterator[Service]:
    """Run `make dev` as long as the context lasts."""
    log = project.parent / "dev.log"
    with (
        log.open("w") as output,
        subprocess.Popen(
            ["make", "dev", f"PORT={port}"],
            cwd=project,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the demo, which then stops the service
        ) as process,
    ):
        try:
            yield Service(process, log, f"http://localhost:{port}")
        finally:
            stop(process)


def stop(process: subprocess.Popen[Any]) -> None:
    """End a process and its group; by force if it takes longer than STOPPED_WITHIN."""
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(STOPPED_WITHIN)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)


def send(project: Path, environment: dict[str, str]) -> tuple[str, float]:
    """Send a mail through the worker; return its id and the seconds until its row said `sent`.

    Raises:
        DemoError: the row says something else.
    """
    command = [".venv/bin/python", "manage.py", "send_test_email", RECIPIENT]
    output = run(command, project, environment)
    found = re.search(
        r"queued as (\S+)$.*: sent after ([\d.]+) s", output, re.DOTALL | re.MULTILINE
    )
    if not found:
        raise DemoError("the mail's row does not say that it was sent", output)
    return found[1], float(found[2])


def check_arrival(mailbox: Mailbox, email_id: str) -> None:
    """Make sure that exactly this mail has arrived.

    Raises:
        DemoError: it has not.
    """
    arrived = [(message["To"], message["Message-ID"]) for message in mailbox.messages]
    if not (len(arrived) == 1 and arrived[0][0] == RECIPIENT and email_id in arrived[0][1]):
        raise DemoError(f"the row {email_id} says sent, but the SMTP server got {arrived}")


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
