"""`make demo`: the first thing that a newcomer sees."""

import re
from pathlib import Path

from tests.test_dev import Terminal

ROOT = Path(__file__).resolve().parents[1]
STEPS = [
    "Rendered",
    "Installed",
    "Migrated",
    "Account made",
    "Workers ready",
    "Queued, then delivered",
]


def test_one_mail_is_delivered_and_nothing_is_left_running():
    terminal = Terminal(ROOT)

    # The first run downloads what the project needs.
    demo = terminal.run("make", "demo", "ONCE=1", patience=600)

    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "a mail arrived: to demo@example.com, subject: A test from " in demo.stdout
    assert re.findall(r"^(\S.*\S) +[\d.]+ s$", demo.stdout, re.MULTILINE) == STEPS
    assert terminal.processes() == []
