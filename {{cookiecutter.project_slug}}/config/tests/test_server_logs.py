"""The lines of the web server itself are JSON too, and the journal gets the priority of each line."""

import json
import os
import signal
import subprocess
import sys
from importlib.util import find_spec

import pytest

from durable.testing.servers import free_port
from durable.testing.workers import TIMEOUT, Program

LINES = (
    "import django; django.setup(); import logging, structlog;"
    "structlog.get_logger('service').error('first');"
    "logging.getLogger('library').warning('second');"
    "structlog.get_logger('service').info('third')"
)
# The servers of production, as far as this project has them.
COMMANDS = {
    "uvicorn": (
        *("config.asgi:application", "--port={port}", "--workers=2", "--no-access-log"),
        "--log-config=config/server_logging.json",
    ),
    "gunicorn": (
        *("config.wsgi", "--bind=127.0.0.1:{port}", "--workers=2", "--no-control-socket"),
        "--log-config-json=config/server_logging.json",
    ),
}


def has(server):
    """Return whether this project has a server and its entry point; other trees share the environment."""
    entry_point = COMMANDS[server][0].partition(":")[0]
    return bool(find_spec(server) and find_spec(entry_point))


@pytest.mark.parametrize("server", [name for name in COMMANDS if has(name)])
def test_the_servers_own_lines_are_json(server):
    port = free_port()
    arguments = [argument.format(port=port) for argument in COMMANDS[server]]
    program = Program(server, *arguments, LOG_FORMAT="json", LOG_LEVEL="INFO")
    program.wait(port)

    program.process.send_signal(signal.SIGTERM)
    _, errors = program.process.communicate(timeout=TIMEOUT)

    lines = [json.loads(line) for line in errors.splitlines()]
    assert {line["logger"] for line in lines} >= {f"{server}.error"}
    assert all(line["level"] and line["timestamp"] for line in lines)


def written(*, to_journal, log_format="json"):
    """Return what a process writes to a pipe, which is the journal's or that of another program."""
    reader, writer = os.pipe()
    stream = os.fstat(writer)
    journal = f"{stream.st_dev}:{stream.st_ino}" if to_journal else "8:1"
    environment = {"JOURNAL_STREAM": journal, "LOG_FORMAT": log_format, "LOG_LEVEL": "INFO"}
    subprocess.run(
        [sys.executable, "-c", LINES],
        env=os.environ | environment,
        stderr=writer,
        check=True,
        timeout=TIMEOUT,
    )
    os.close(writer)
    with open(reader) as output:  # noqa: PTH123 - a descriptor, not a path
        return output.read().splitlines()


def test_the_journal_learns_the_priority_of_each_line():
    lines = written(to_journal=True)

    assert [line[:3] for line in lines] == ["<3>", "<4>", "<6>"]
    assert [json.loads(line[3:])["event"] for line in lines] == ["first", "second", "third"]


def test_another_reader_gets_no_priorities():
    lines = written(to_journal=False)

    assert [json.loads(line)["event"] for line in lines] == ["first", "second", "third"]
