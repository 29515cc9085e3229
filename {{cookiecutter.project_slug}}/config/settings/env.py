"""The environment, read once for every settings file."""

import secrets
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parents[2]
# Files that development writes: SQLite, Redis' data, and the URL of that Redis.
VAR_DIR = BASE_DIR / "var"


class Environment(environ.Env):  # type: ignore[misc]
    """The environment, with rules for empty values, lists, URLs, and the keys of an email provider."""

    def get_value(self, var: str, *args: Any, **options: Any) -> Any:
        """Return the value of a variable, or its default if it is missing or empty.

        Every other method calls this one; see django-environ for the arguments.

        Raises:
            ImproperlyConfigured: there is no value, or it is not of the type that the setting needs.
        """
        if not self.ENVIRON.get(var):
            if (default := options.get("default", self.NOTSET)) is self.NOTSET:
                raise ImproperlyConfigured(f"{var} is missing or empty")
            return default
        try:
            return super().get_value(var, *args, **options)
        except ValueError as error:
            raise ImproperlyConfigured(f"{var}: {error}") from None

    def comma_separated(self, name: str, default: str = "") -> list[str]:
        """Return the texts between commas, without blanks around them."""
        texts = self.str(name, default=default).split(",")
        return [stripped for text in texts if (stripped := text.strip())]

    def redis_url(self, name: str, default: str) -> str:
        """Return the URL of a Redis in the one form that every client of it understands.

        Args:
            name: the variable.
            default: the URL if it is missing or empty.

        Raises:
            ImproperlyConfigured: Redis' clients would not understand it, or not all of them the same way.
        """
        url: str = self.str(name, default=default)
        parts = urlsplit(url)
        if parts.scheme == "unix":
            return url
        if parts.scheme not in {"redis", "rediss"}:
            raise ImproperlyConfigured(
                f"{name}: {parts.scheme or 'no scheme'}: use redis://, rediss:// or unix://"
            )
        options = dict(parse_qsl(parts.query))
        database = options.pop("db", "") or parts.path.strip("/") or "0"
        if not database.isdecimal():
            raise ImproperlyConfigured(
                f"{name}: the database is not a number (in the password, write %2F for /)"
            )
        if unknown := [option for option in options if not option.startswith("ssl_")]:
            raise ImproperlyConfigured(f"{name}: {unknown[0]}: use no options but db and ssl_…")
        if "ssl_cert_reqs" in options:  # Celery's documentation writes CERT_REQUIRED
            options["ssl_cert_reqs"] = options["ssl_cert_reqs"].removeprefix("CERT_").lower()
            if options["ssl_cert_reqs"] not in {"none", "optional", "required"}:
                raise ImproperlyConfigured(f"{name}: ssl_cert_reqs is none, optional or required")
        return urlunsplit(parts._replace(path=f"/{database}", query=urlencode(options, safe="/")))

    def base_url(self, name: str, default: str) -> str:
        """Return a URL that paths are appended to, so without a slash at its end.

        Raises:
            ImproperlyConfigured: it does not start with http:// or https://.
        """
        url: str = self.str(name, default=default).strip().rstrip("/")
        if not url.startswith(("http://", "https://")):
            raise ImproperlyConfigured(f"{name}={url}: write it with its scheme: https://{url}")
        return url

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
