#!/usr/bin/env python
"""Django's command line for this service."""

import os
import sys

if __name__ == "__main__":
    if sys.argv[1:2] == ["healthcheck"]:
        # It runs every few seconds, and takes a tenth of the time that Django needs to start.
        from durable.health import cli

        sys.exit(cli.main(sys.argv[2:]))

    from django.core.management import execute_from_command_line

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")
    execute_from_command_line(sys.argv)
