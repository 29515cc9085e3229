"""The end of the start of `make dev`: one block with all addresses."""

import time
from collections.abc import Iterator, Mapping
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

from config.dev.output import Output
from config.dev.ports import HOST

START_TIMEOUT = 60.0  # seconds; a slow machine takes twenty
INTERVAL = 0.2  # seconds between two looks
WEB = "web"  # the name of its line in the Procfile


def announce(output: Output, awaited: set[str], environment: Mapping[str, str]) -> None:
    """Wait until web answers and all workers are ready, and print the addresses.

    Args:
        output: what the processes print.
        awaited: the names of the workers, and web.
        environment: the environment of the processes.
    """
    deadline = time.monotonic() + START_TIMEOUT
    url = f"http://{HOST}:{environment['PORT']}/health/live"
    while not output.stopping:
        missing = awaited - output.ready - ({WEB} if answers(url) else set())
        if not missing:
            output.end_start()
            print("\n".join(["", *addresses(environment), ""]), flush=True)
            return
        if time.monotonic() > deadline:
            deadline = float("inf")
            output.end_start(missing)
            names = ", ".join(sorted(missing))
            print(f"make dev: not ready after {START_TIMEOUT:g} s: {names}: see above", flush=True)
        time.sleep(INTERVAL)


def answers(url: str) -> bool:
    """Return whether a web server answers."""
    try:
        with urlopen(url, timeout=1):  # noqa: S310 - our own address
            return True
    except (URLError, OSError):
        return False


def where_mail_goes(environment: Mapping[str, str]) -> str:
    """Return what happens to mails, in a few words."""
    url = environment.get("EMAIL_URL", "dummymail://")  # the default of config/settings/local.py
    if url.startswith("dummymail:"):
        return "shown there, not sent, unless EMAIL_URL is set"
    return f"sent through {urlsplit(url).hostname}" if url else "sent by the email provider"


def addresses(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines of the block."""
    site = f"http://localhost:{environment['PORT']}"
    yield "Ready. Press Ctrl-C to stop everything."
    yield f"Home page  {site}/"
    yield f"Console    {site}/console/ (create an account: `make superuser`)"
    yield f"Admin      {site}/admin/"
    yield f"Emails     {site}/admin/mail/email/ ({where_mail_goes(environment)})"
    # % if cookiecutter.use_flower
    yield f"Flower     http://localhost:{environment['FLOWER_PORT']}/ (login: FLOWER_BASIC_AUTH in .env)"
    # % endif
