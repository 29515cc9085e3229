"""docs/log_events.md lists every event that the engine logs: alerts depend on their names and fields."""

import ast
from collections.abc import Iterator
from pathlib import Path

ENGINE = Path(__file__).parents[1]
PAGE = ENGINE.parent / "docs/log_events.md"
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}


def calls_of_loggers() -> Iterator[tuple[Path, ast.Call]]:
    """Yield each call such as `logger.info(…)` in the engine, without its tests."""
    for path in sorted(ENGINE.rglob("*.py")):
        if {"tests", "testing"}.isdisjoint(path.relative_to(ENGINE).parts):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                match node:
                    case ast.Call(func=ast.Attribute(value=ast.Name(id="logger"), attr=level)):
                        assert level in LEVELS, f"{path}: logger.{level}"
                        yield path, node


def level_of(call: ast.Call) -> str:
    """Return the level of a log line; `exception` logs an error with its traceback."""
    level: str = call.func.attr  # type: ignore[attr-defined]
    return "error" if level == "exception" else level


def fields_of(call: ast.Call) -> set[str]:
    """Return the fields of a log line; the standard library's logger takes them in `extra`."""
    fields = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
    match fields.pop("extra", None):
        case ast.Dict(keys=keys):
            return {str(ast.literal_eval(key)) for key in keys if key}
    return set(fields)


def logged() -> dict[str, tuple[set[str], set[str]]]:
    """Return the levels and the fields of each event in the code."""
    events: dict[str, tuple[set[str], set[str]]] = {}
    for path, call in calls_of_loggers():
        event = ast.literal_eval(call.args[0])
        assert event.replace("_", "").isalpha(), f"{path}: {event!r}: log an event and its fields"
        levels, fields = events.setdefault(event, (set(), set()))
        levels.add(level_of(call))
        fields |= fields_of(call)
    return events


def documented() -> dict[str, tuple[set[str], set[str]]]:
    """Return the levels and the fields of each event on the page."""
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line[:3] == "| `"]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return {
        event.strip("`"): (words(levels), words(fields)) for event, levels, fields, _when in cells
    }


def words(cell: str) -> set[str]:
    """Return the words of a cell, `a`, `b` without quotes and commas."""
    return set(cell.replace("`", "").replace(",", " ").split())


def test_every_event_is_on_the_page_with_its_level_and_fields():
    assert documented() == logged()
