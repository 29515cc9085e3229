"""Flower's options: it listens on this machine only, and requires a password.

Its /metrics and /healthcheck require none, so do not expose it: use an SSH tunnel, or a proxy with
a login of its own.
"""

import re
import sys

from django.conf import settings

if ":" not in settings.FLOWER_BASIC_AUTH:
    sys.exit("FLOWER_BASIC_AUTH is not set: set it to name:password")

address = settings.FLOWER_ADDRESS
port = settings.FLOWER_PORT
# A comma separates two logins only if a name and a colon follow: passwords may contain commas.
basic_auth = re.split(r",\s*(?=[^,:]+:)", settings.FLOWER_BASIC_AUTH)
