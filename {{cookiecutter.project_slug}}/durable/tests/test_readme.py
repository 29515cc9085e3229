"""durable/README.md describes the settings of durable/conf.py and the names of durable/api.py."""

import re
from datetime import timedelta
from pathlib import Path

from durable import api
from durable.conf import Conf, Setting

README = Path(__file__).parents[1] / "README.md"


def rows_below(heading: str) -> list[list[str]]:
    """Return the cells of the table below a heading, without its first two lines."""
    section = README.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2]
    lines = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_settings_are_those_of_conf_with_their_defaults():
    documented = {
        name.strip("`"): eval(default.strip("`"), {"timedelta": timedelta})
        for name, default, *_ in rows_below("Settings")
    }
    settings = {name: value for name, value in vars(Conf).items() if isinstance(value, Setting)}
    assert documented == {name: setting.default for name, setting in settings.items()}


def test_a_number_has_a_unit():
    for name, default, unit, _ in rows_below("Settings"):
        assert unit or default.startswith("`timedelta("), name


def test_the_names_are_those_of_the_public_interface():
    documented = [
        name for row in rows_below("Use `durable.api`") for name in re.findall(r"\w+", row[0])
    ]
    assert sorted(documented) == sorted(api.__all__)
