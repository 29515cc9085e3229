"""Flower's options: it listens on this machine only, and requires a password.

Its /metrics and /healthcheck require none, so do not expose it: use an SSH tunnel, or a proxy with
a login of its own.
"""

import os
import re
import socket
import sys

from django.conf import settings
from tornado.ioloop import PeriodicCallback

WATCHDOG_INTERVAL = 5_000  # milliseconds; deploy/systemd/flower.service waits much longer


def notify_systemd() -> None:
    """Reset systemd's watchdog (see sd_notify(3)): Flower's loop, which answers every request, runs."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.sendto(b"READY=1\nWATCHDOG=1", re.sub("^@", "\0", os.environ["NOTIFY_SOCKET"]))


if ":" not in settings.FLOWER_BASIC_AUTH:
    sys.exit("FLOWER_BASIC_AUTH is not set: set it to name:password")

address = settings.FLOWER_ADDRESS
port = settings.FLOWER_PORT
# Its buttons stop workers and revoke tasks; the console does that, with permissions and an audit log.
read_only = settings.FLOWER_READ_ONLY
max_tasks = 10_000  # tasks; the default of 100,000 takes 430 MiB, more than the memory limit
# Counters and tasks survive a restart if there is a file for them.
persistent = bool(settings.FLOWER_DB)
db = settings.FLOWER_DB
state_save_interval = 300_000  # milliseconds; a killed Flower forgets this much
# A comma separates two logins only if a name and a colon follow: passwords may contain commas.
basic_auth = re.split(r",\s*(?=[^,:]+:)", settings.FLOWER_BASIC_AUTH)
if os.environ.get("NOTIFY_SOCKET"):
    PeriodicCallback(notify_systemd, WATCHDOG_INTERVAL).start()
