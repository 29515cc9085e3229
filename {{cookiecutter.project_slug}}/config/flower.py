"""Flower's options: for this machine only, and behind a password.

Its /metrics and /healthcheck ask for none, so it must not be reachable from outside: use an SSH
tunnel, or a proxy that has its own login.
"""

import sys

from django.conf import settings

if not settings.FLOWER_BASIC_AUTH:
    sys.exit("FLOWER_BASIC_AUTH is not set: give Flower a name and a password, as in ann:sesame")

address = settings.FLOWER_ADDRESS
port = settings.FLOWER_PORT
basic_auth = settings.FLOWER_BASIC_AUTH
