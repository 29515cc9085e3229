"""Flower's options: it listens on this machine only, and requires a password.

Its /metrics and /healthcheck require none, so do not expose it: use an SSH tunnel, or a proxy with
a login of its own.
"""

import sys

from django.conf import settings

if not settings.FLOWER_BASIC_AUTH:
    sys.exit("FLOWER_BASIC_AUTH is not set: set it to name:password")

address = settings.FLOWER_ADDRESS
port = settings.FLOWER_PORT
basic_auth = settings.FLOWER_BASIC_AUTH
