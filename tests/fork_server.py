"""Runs Python in copies of this process, which has imported what rendered projects use.

A program, not a module: `python tests/fork_server.py` reads one request a line, and answers each
with a line. So no request waits for imports, which take more than a second, and none finds anything
of another project. The libraries are imported without settings, so they keep nothing of them.
"""

import gc
import json
import os
import signal
import sys
from importlib import import_module
from typing import NoReturn

TIMEOUT = 1800  # seconds; the engine's tests in one process take minutes, on a busy machine a quarter of an hour
LIBRARIES = (
    "_pytest.doctest",
    "aiosmtpd.controller",
    "anymail.webhooks.base",
    "celery.apps.worker",
    "celery.bin.celery",
    "celery.concurrency.prefork",
    "django.contrib.admin",
    "django.core.management.commands.makemigrations",
    "django.core.management.commands.migrate",
    "django.db.backends.postgresql.base",
    "django.test",
    "django_structlog.celery.receivers",
    "kombu.transport.redis",
    "pytest",
    "werkzeug",
)


def run(source: str, directory: str, environment: dict[str, str], output: str) -> NoReturn:
    """Be `python -c source` in a directory."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.alarm(TIMEOUT)
    os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())
    file = os.open(output, os.O_WRONLY)
    for standard in (sys.stdout, sys.stderr):
        os.dup2(file, standard.fileno())
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[0] = directory
    exec(source, {"__name__": "__main__"})
    sys.exit()


def main() -> None:
    """Serve until the input ends."""
    os.environ["REMAP_SIGTERM"] = "SIGQUIT"  # as in production; Celery reads it on import
    for name in LIBRARIES:
        import_module(name)
    gc.freeze()
    for line in sys.stdin:
        if os.fork() == 0:
            run(**json.loads(line))
        _, status = os.wait()
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the copies
    main()
