"""Spares Cookiecutter compiling: paths, most of which are no templates, and what has not changed."""

import zlib
from contextlib import suppress
from importlib.metadata import version
from typing import Any

from jinja2 import Environment, FileSystemBytecodeCache, FunctionLoader, Template
from jinja2.ext import Extension

# A text without these holds no template syntax, nor a line end that Jinja would change.
SYNTAX = frozenset("{#\n\r")
JINJA = version("jinja2")
# Jinja caches the code of what has a name: a text's is the text.
TEXTS = FunctionLoader(lambda text: text)


def cache_of_code(environment: Environment) -> FileSystemBytecodeCache | None:
    """Return Jinja's cache in the user's temporary folder, or None if somebody else could write it.

    Jinja notices a changed source. The same source is other code to another Jinja, or with other
    settings, so these are part of the names.
    """
    settings = (
        environment.line_statement_prefix,
        environment.trim_blocks,
        environment.lstrip_blocks,
        environment.optimized,
    )
    fingerprint = zlib.crc32(repr((JINJA, settings)).encode())
    with suppress(OSError, RuntimeError):
        return FileSystemBytecodeCache(pattern=f"cookiecutter-{fingerprint:08x}-%s")
    return None


class PlainText:
    """A text without template syntax, used like a template."""

    def __init__(self, text: str) -> None:
        """Keep the text."""
        self.text = text

    def render(self, *_: Any, **__: Any) -> str:
        """Return the text, whatever the variables."""
        return self.text


class SpareCompiling(Extension):
    """Keeps the code of compiled files and texts, and leaves plain texts as they are."""

    def __init__(self, environment: Environment) -> None:
        """Set the cache, and take the place of the environment's own `from_string`."""
        super().__init__(environment)
        environment.bytecode_cache = cache_of_code(environment)
        self.compiled = environment.from_string
        environment.from_string = self.from_string  # type: ignore[method-assign]

    def from_string(self, source: str, *arguments: Any, **options: Any) -> Template | PlainText:
        """Return the template that a text is, compiled if it may hold template syntax."""
        if arguments or options:
            return self.compiled(source, *arguments, **options)
        if SYNTAX.isdisjoint(source):
            return PlainText(source)
        return TEXTS.load(self.environment, source, self.environment.make_globals(None))
