#!/usr/bin/env python
"""Django's command line for this service."""

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    if sys.argv[1:2] == ["healthcheck"]:
        # Probes run it every few seconds; without Django it starts ten times as fast.
        from durable.health import cli

        sys.exit(cli.main(sys.argv[2:]))

    if sys.argv[1:2] == ["test"]:
        # Django's runner would find no test: the suite is written for pytest.
        os.chdir(Path(__file__).resolve().parent)
        command = [sys.executable, "-m", "pytest", "--pyargs", *sys.argv[2:]]
        os.execv(sys.executable, command)  # noqa: S606 - the same Python

    from django.core.management import execute_from_command_line

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")
    execute_from_command_line(sys.argv)
