"""The dashboard fits the types that Grafana Labs generates from the schemas of Grafana and of its panels."""

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from enum import EnumType
from typing import Any, get_args, get_type_hints

import pytest
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from typeguard import TypeCheckError, check_type

from tests.prometheus import MONITORING

DASHBOARD = json.loads((MONITORING / "dashboard.json").read_text("utf-8"))
plugins.register_default_plugins()


def faults(dashboard: dict[str, Any]) -> list[str]:
    """Return what of a dashboard is not in the schema."""
    parsed = Dashboard.from_json(dashboard)
    understood = json.loads(JSONEncoder().encode(parsed))
    return [*unknown_fields(dashboard, understood, "dashboard"), *wrong_types(parsed)]


def unknown_fields(written: Any, understood: Any, path: str) -> Iterator[str]:
    """Yield the fields that parsing has dropped or changed, so which have no meaning."""
    if isinstance(written, dict) and isinstance(understood, dict):
        for name, value in written.items():
            yield from unknown_fields(value, understood.get(name), f"{path}.{name}")
    elif isinstance(written, list) and isinstance(understood, list):
        for index, (one, other) in enumerate(zip(written, understood, strict=True)):
            yield from unknown_fields(one, other, f"{path}[{index}]")
    elif written != understood:
        yield f"{path}: {written!r} is read as {understood!r}"


def wrong_types(value: Any) -> Iterator[str]:
    """Yield the fields of parsed objects whose value has another type than the schema says."""
    if type(value).__module__.startswith("grafana_foundation_sdk."):
        for name, hint in get_type_hints(type(value)).items():
            if not fits(getattr(value, name), hint):
                yield f"{type(value).__name__}.{name}: {getattr(value, name)!r} is no {hint}"
        value = vars(value)
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from wrong_types(each)


def fits(value: Any, hint: Any) -> bool:
    """Whether a value has a type; members of an enumeration are parsed as what they are in JSON."""
    enums = [each for each in (hint, *get_args(hint)) if isinstance(each, EnumType)]
    if any(value == member.value for each in enums for member in each):
        return True
    try:
        check_type(value, hint)
    except TypeCheckError:
        return False
    return True


def test_the_dashboard_fits_the_schema() -> None:
    assert faults(DASHBOARD) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda board: board.update(refesh="30s"),
        lambda board: board.update(editable="yes"),
        lambda board: board.update(schemaVersion="39"),
        lambda board: board["time"].update(since="now-6h"),
        lambda board: board["templating"]["list"][1].update(type="querry"),
        lambda board: board["panels"][0]["gridPos"].update(width=6),
        lambda board: board["panels"][0]["gridPos"].update(w="6"),
        lambda board: board["panels"][0].update(title=1),
        lambda board: board["panels"][0]["targets"][0].update(expression="up"),
        lambda board: board["panels"][0]["targets"][0].update(expr=1),
        lambda board: board["panels"][0]["fieldConfig"]["defaults"].update(units="s"),
    ],
)
def test_a_field_that_grafana_does_not_know_is_found(
    change: Callable[[dict[str, Any]], None],
) -> None:
    board = deepcopy(DASHBOARD)
    change(board)

    assert len(faults(board)) == 1
