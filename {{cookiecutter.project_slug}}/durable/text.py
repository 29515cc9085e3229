"""Texts and JSON that the database can hold.

PostgreSQL stores neither NUL nor half of a surrogate pair, and its JSON has neither NaN nor Infinity
(https://www.postgresql.org/docs/current/datatype-json.html). SQLite drops such a row without an error
where conflicts are ignored.
"""

import json
import re
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder

MAX_ERROR_LENGTH = 2_000  # characters, about a screen
NUL_IN_JSON = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def clean_text(text: str) -> str:
    """Return a text with every character replaced that the database cannot hold."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "\N{REPLACEMENT CHARACTER}")


def describe_error(error: object) -> str:
    """Return the type and the text of an error, no longer than a screen."""
    return clean_text(f"{type(error).__name__}: {error}")[:MAX_ERROR_LENGTH]


def dump_json(where: str, value: Any, encoder: type[json.JSONEncoder] | None = None) -> str:
    """Return a value as JSON that every database can hold.

    Args:
        where: what the value is, for the error's text: `tests.add`, `context`.
        value: the value.
        encoder: for types that JSON lacks; without one they are refused.

    Raises:
        TypeError: the value holds a type that JSON lacks.
        ValueError: it holds NaN, Infinity, NUL or half of a surrogate pair, or holds itself.
    """
    try:
        text = json.dumps(value, cls=encoder, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (TypeError, RecursionError) as error:
        raise TypeError(f"{where}: {error}: pass ids, texts and numbers") from None
    except UnicodeEncodeError:
        raise ValueError(
            f"{where}: a text holds half of a surrogate pair: pass it through clean_text first"
        ) from None
    except ValueError as error:
        raise ValueError(f"{where}: {error}: pass None or a text instead") from None
    if NUL_IN_JSON.search(text):
        raise ValueError(f"{where}: a text holds NUL (\\x00): pass it through clean_text first")
    return text


def validate_text(where: str, text: str) -> str:
    """Return a text that the database can hold.

    Raises:
        TypeError: it is no text.
        ValueError: it holds NUL or half of a surrogate pair.
    """
    if not isinstance(text, str):
        raise TypeError(f"{where}: {type(text).__name__} given: pass a text")
    dump_json(where, text)
    return text


def to_json(where: str, value: Any) -> Any:
    """Return a value as JSON gives it back: dates, decimals and UUIDs become texts; see `dump_json`."""
    return json.loads(dump_json(where, value, DjangoJSONEncoder))
