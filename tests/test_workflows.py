"""The workflows of the template and of its projects run the actions that were read."""

import re

from tests.rendering import ROOT

PROJECT = ROOT / "{{cookiecutter.project_slug}}"


def test_each_action_is_named_by_its_commit() -> None:
    workflows = [*ROOT.glob(".github/workflows/*"), *PROJECT.glob(".github/workflows/*")]
    actions = {
        action for each in workflows for action in re.findall("uses: (.*)", each.read_text())
    }

    assert actions
    assert {each for each in actions if not re.match(r"[\w/-]+@[0-9a-f]{40} # v", each)} == set()
