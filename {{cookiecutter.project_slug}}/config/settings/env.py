"""The environment, read once for all settings files."""

import secrets
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parents[2]
# What the service writes on a developer's machine: SQLite, Redis, the address of that Redis.
VAR_DIR = BASE_DIR / "var"


class Environment(environ.Env):  # type: ignore[misc]
    """The environment, with a rule for what an email provider gave."""

    def of_provider(self, name: str) -> str:
        """Return a key, a secret or the like of the email provider.

        It may be missing where EMAIL_URL sends mail elsewhere. A random text stands for it then,
        since with an empty one anybody could sign the provider's reports.

        Raises:
            ImproperlyConfigured: it is needed, and missing or empty.
        """
        value: str = self.str(name, default="")
        if not value and not self.str("EMAIL_URL", default=""):
            raise ImproperlyConfigured(f"{name} is missing or empty: the email provider gives it")
        return value or secrets.token_hex()


env = Environment()


def redis_database(url: str, offset: int) -> str:
    """Return `url` with its database number raised by `offset`.

    Django's Redis cache clears itself with FLUSHDB, so it must never share a database with the
    broker. A server with a single database (a cluster, some hosted ones) needs a second server:
    set CACHE_URL.
    """
    parts = urlsplit(url)
    number = int(parts.path.strip("/") or 0) + offset
    return urlunsplit(parts._replace(path=f"/{number}"))
