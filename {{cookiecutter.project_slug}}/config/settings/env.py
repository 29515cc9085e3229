"""The environment, read once for every settings file."""

import secrets
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parents[2]
# Files that development writes: SQLite, Redis' data, and the URL of that Redis.
VAR_DIR = BASE_DIR / "var"


class Environment(environ.Env):  # type: ignore[misc]
    """The environment, with a rule for the keys of an email provider."""

    def of_provider(self, name: str) -> str:
        """Return a key, a secret or another value that the email provider issues.

        It may be missing if EMAIL_URL overrides the provider. Then a random value replaces it: with
        an empty one, anybody could forge the provider's reports.

        Raises:
            ImproperlyConfigured: the value is needed, and missing or empty.
        """
        value: str = self.str(name, default="")
        if not value and not self.str("EMAIL_URL", default=""):
            raise ImproperlyConfigured(f"{name} is missing or empty: the email provider issues it")
        return value or secrets.token_hex()


env = Environment()


def redis_database(url: str, offset: int) -> str:
    """Return `url` with its database number raised by `offset`.

    Django clears its Redis cache with FLUSHDB, so the cache must not share a database with the broker.
    If your server has only one database (a cluster, some hosted ones), set CACHE_URL to another server.
    """
    parts = urlsplit(url)
    number = int(parts.path.strip("/") or 0) + offset
    return urlunsplit(parts._replace(path=f"/{number}"))
