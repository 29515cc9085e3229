"""`make dev`: Redis, migrations and every line of the Procfile, in one terminal until Ctrl-C."""


class CannotStartError(Exception):
    """Why `make dev` cannot start, and what to do about it, in one line."""
