"""Reports how much of the option space a run has proven, and fails a run that left something out."""

from typing import Any

import pytest

# How the names of the tests of each part begin, and what each part counts.
PARTS = {
    "tests/test_combinations.py::test_the_files_of_a_combination_fit_together[": "combinations",
    "tests/test_trees.py::test_a_tree_passes_djangos_checks_and_its_own_tests[": "distinct trees",
    "tests/test_covering_array.py::test_a_project_starts_and_delivers_a_mail[": "started projects",
}
FIGURES = ("distinct files", "tests in the trees", "retries")
MAX_RETRIES = 1  # in a run, of all tests together


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that asks for all of the proof."""
    parser.addoption(
        "--complete",
        action="store_true",
        help="fail unless each combination, tree and started project passed",
    )


def passed(reporter: Any) -> dict[str, int]:
    """Return how many tests of each part have passed."""
    names = [report.nodeid for report in reporter.stats.get("passed", ())]
    return {part: sum(name.startswith(prefix) for name in names) for prefix, part in PARTS.items()}


def figures(reporter: Any) -> dict[str, int]:
    """Return the sums of the figures that tests recorded with `record_property`."""
    recorded = [
        pair for report in reporter.stats.get("passed", ()) for pair in report.user_properties
    ]
    return {figure: sum(value for name, value in recorded if name == figure) for figure in FIGURES}


def expected() -> dict[str, int]:
    """Return how many tests each part has."""
    from tests import test_combinations, test_covering_array, test_trees  # noqa: PLC0415 - a cycle

    return {
        "combinations": len(test_combinations.COMBINATIONS),
        "distinct trees": len(test_trees.TREES),
        "started projects": len(test_covering_array.ARRAY),
    }


def faults(reporter: Any, *, complete: bool) -> list[str]:
    """Return why a run is no proof, one line each.

    Args:
        complete: whether each combination, tree and started project had to pass.
    """
    found, wanted = passed(reporter), expected() if complete else {}
    lines = [
        f"missing: {count - found[part]:,} of {count:,} {part}"
        for part, count in wanted.items()
        if found[part] != count
    ]
    if (retries := figures(reporter)["retries"]) > MAX_RETRIES:
        lines.append(f"{retries} tests passed only when they were retried; {MAX_RETRIES} may")
    return lines


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print how much was proven, and what is missing."""
    found = passed(terminalreporter)
    if any(found.values()):
        terminalreporter.section("proof")
        for what, count in {**found, **figures(terminalreporter)}.items():
            terminalreporter.line(f"{count:>6,} {what}")
    for line in faults(terminalreporter, complete=config.getoption("complete")):
        terminalreporter.line(line)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run that is no proof."""
    if hasattr(session.config, "workerinput"):
        return  # one of several processes, which sees only its own tests
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if faults(reporter, complete=session.config.getoption("complete")):
        session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED
