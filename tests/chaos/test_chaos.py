"""Nothing that was promised is lost: in each row a fault hits the service while it works.

`lost` is 0 for mails and durable tasks in every row, and for plain tasks as long as Redis keeps what it
holds. What runs twice was in flight when something was killed, and no more than that.
"""

import re
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import pytest

from tests.chaos import faults, report
from tests.chaos.alerts import DETECTED, SCALE, patience_of
from tests.chaos.report import KINDS, Count, Line
from tests.chaos.world import CONCURRENCY, LOAD, World, wait_until
from tests.prometheus import RULES
from tests.rendering import ROOT

# Tasks in flight: a process takes no second one while it works on one.
IN_A_WORKER = CONCURRENCY
WORKERS = 2
IN_ALL = WORKERS * IN_A_WORKER
SHORT_LOAD = 300  # calls of each kind
NOISE = 2.0  # seconds that a scrape may wait for a busy machine


@dataclass(frozen=True)
class Row:
    """A fault, and what it may cost.

    Args:
        fault: what happens; its docstring says it. It may return when it began to show, in seconds since 1970.
        in_flight: how many tasks it hits while they run, so how many may run twice.
        loses_plain: whether the broker loses what it holds, and with it plain tasks.
        refuses: whether the database refuses rows meanwhile, and so calls fail.
        around: what is set up before and taken down after.
        database: what the service runs on.
        load: calls of each kind; fewer where the fault does not need a long load.
        flowing: the kinds of work of which some must run before the fault begins.
        alerts: what Prometheus must raise, and nothing else.
        lasts: whether the fault represents an outage of minutes, for which the rules have short durations.
            Other faults are over in seconds in production, too, and the rules are as they are.
    """

    fault: Callable[[World], float | None]
    in_flight: int
    loses_plain: bool = False
    refuses: bool = False
    around: Callable[[World], AbstractContextManager[None]] = nullcontext
    database: str = "postgresql"
    load: int = LOAD
    flowing: Sequence[str] = tuple(KINDS)
    alerts: Sequence[str] = ()
    lasts: bool = False

    @property
    def words(self) -> str:
        """What happens."""
        return str(self.fault.__doc__).rstrip(".")

    @property
    def scale(self) -> int:
        """By what the durations of the rules are divided."""
        return SCALE if self.lasts else 1

    def limit(self, alert: str) -> float:
        """The seconds after the start of the fault within which an alert must be raised."""
        return (patience_of(alert) + DETECTED) / self.scale + NOISE


ROWS = [
    Row(faults.leave_alone, 0, load=SHORT_LOAD, lasts=True),
    Row(faults.kill_workers, faults.KILLS * IN_A_WORKER),
    Row(faults.kill_pool_children, faults.CHILD_KILLS),
    Row(faults.cut_grace_short, faults.CUTS * IN_ALL),
    # A task goes on while its connection is lost, but cannot be acknowledged: it is handed out again.
    Row(faults.stop_redis, IN_ALL, alerts=("DurablePartDown",), lasts=True),
    Row(
        faults.fill_redis,
        IN_ALL,
        load=SHORT_LOAD,
        alerts=("DurableBrokerRefusesWrites",),
        lasts=True,
    ),
    Row(faults.empty_redis, 0, loses_plain=True),
    Row(faults.flush_redis, 0, loses_plain=True),
    Row(faults.kill_connections, faults.CONNECTION_KILLS * IN_ALL),
    Row(faults.hang_redis, IN_ALL, alerts=("DurablePartDown",), lasts=True),
    Row(faults.share_redis, 0),
    Row(faults.pause_clients, IN_ALL, load=SHORT_LOAD),
    Row(faults.push_odd_messages, 0, load=SHORT_LOAD, alerts=("DurableTasksFailed",)),
    Row(
        faults.overtake_a_backlog,
        0,
        around=faults.behind_a_backlog,
        load=SHORT_LOAD,
        flowing=("email",),
    ),
    Row(faults.let_clocks_differ, IN_ALL, around=faults.one_clock_ahead, load=SHORT_LOAD),
    Row(faults.lose_connections, IN_ALL, around=faults.behind_a_proxy),
    # The mail is sent, and the outcome cannot be written.
    Row(faults.crash_postgresql, faults.CRASHES * IN_ALL, refuses=True),
    Row(
        faults.stop_postgresql,
        IN_ALL,
        refuses=True,
        load=SHORT_LOAD,
        alerts=("DurablePartDown",),
        lasts=True,
    ),
    Row(
        faults.stop_smtp,
        0,
        load=SHORT_LOAD,
        alerts=("DurableFailureRate", "DurableMailLate"),
        lasts=True,
    ),
    Row(faults.drip_smtp, IN_ALL, load=SHORT_LOAD),
    Row(faults.die_before_commit, faults.DEATHS * IN_ALL),
    Row(faults.freeze_worker, IN_A_WORKER, alerts=("DurableWorkerSilent",), lasts=True),
    Row(
        faults.stop_workers,
        IN_ALL,
        load=SHORT_LOAD,
        alerts=("DurableQueueWithoutConsumer",),
        lasts=True,
    ),
    Row(faults.stop_web, 0, load=SHORT_LOAD, alerts=("DurableMetricsMissing",), lasts=True),
    Row(faults.stop_beats, 0, load=SHORT_LOAD, alerts=("DurableBeatSilent",), lasts=True),
    Row(faults.kill_beat, 0, loses_plain=True),
    Row(faults.kill_beat_before_it_saves, 0),
    Row(faults.fill_disk, IN_ALL, refuses=True, database="sqlite"),
]


def repeated(counts: dict[str, Count]) -> int:
    """Return how many runs there were beyond the first of each."""
    return sum(count.duplicated for count in counts.values())


def run(row: Row, world: World) -> Line:
    """Let the fault hit the service under its load; return what came of it, and what alerts were raised."""
    world.clean()
    with row.around(world):
        world.publish(row.fault.__name__, row.load)
        world.wait_for_work(row.flowing)
        began = time.time()
        began = row.fault(world) or began
        ended, until = time.monotonic(), time.time()
        accepted = world.accepted()
        since = world.wait_for(accepted)
        counts = world.count(accepted, {kind: since[kind] - ended for kind in accepted})
        return Line(row.words, counts, row.scale, raised(row, world, began, until))


def raised(row: Row, world: World, began: float, ended: float) -> dict[str, float] | None:
    """Return the alerts of a fault, once all are over, and the seconds until each was raised.

    Where the durations are short, only those that began during the fault count: the work that has
    piled up takes as long as it does.
    """
    if not (alerts := world.alerts):
        return None
    wait_until(lambda: not [*alerts.firing(row.scale)])
    return alerts.raised(row.scale, began, ended if row.lasts else time.time())


def unkept(row: Row, line: Line) -> list[str]:
    """Return what a shared machine that stands still for a while can break."""
    return [*too_often(row, line), *other_alerts(row, line)]


def too_often(row: Row, line: Line) -> Iterator[str]:
    """Yield how many runs were repeated, if those are more than can be in progress."""
    if (count := repeated(line.counts)) > row.in_flight:
        yield f"{count} ran twice"


def other_alerts(row: Row, line: Line) -> Iterator[str]:
    """Yield which alerts were raised, or how late, if those are not the fault's."""
    if line.alerts is None:
        return
    if {*line.alerts} != {*row.alerts}:
        yield f"raised {line.alerts}, not {row.alerts}"
    elif late := {name: at for name, at in line.alerts.items() if at > row.limit(name)}:
        yield f"raised too late: {late}"


def test_the_pages_state_how_many_faults_there_are() -> None:
    faults = len(ROWS) - 1  # one row has none

    for page, words in (("README.md", "caused {} faults"), ("docs/testing.md", "| {} faults,")):
        assert words.format(faults) in (ROOT / page).read_text("utf-8")


def test_each_alert_is_raised_by_a_fault_or_tested_where_the_page_says() -> None:
    raised = {alert for row in ROWS for alert in row.alerts}
    page = report.PAGE.read_text(encoding="utf-8")
    elsewhere = page[page.index("tested elsewhere") :]

    assert {*re.findall(r"`(Durable[A-Z]\w+)`", elsewhere)} == {
        rule["alert"] for rule in RULES
    } - raised


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.fault.__name__)
def test_nothing_promised_is_lost(
    row: Row,
    worlds: Callable[[str], World],
    record_property: Callable[[str, object], None],
) -> None:
    world = worlds(row.database)
    try:
        line = run(row, world)
        if faults := unkept(row, line):
            # A shared machine may stand still for longer than a lease, or than an alert waits. The second
            # run counts, and tests/proof.py fails a run with more than one row that ran too much twice.
            record_property("retries", int(any(too_often(row, line))))
            warnings.warn(f"run again: {row.words}: {faults}", stacklevel=1)
            line = run(row, world)
        record_property("reliability", line)
        counts = line.counts
        assert (counts["email"].lost, counts["durable"].lost) == (0, 0)
        assert row.refuses or counts["email"].accepted == counts["durable"].accepted == row.load
        assert row.loses_plain or counts["plain"].lost == 0
        assert unkept(row, line) == []
    except BaseException as error:
        error.add_note(world.story())
        raise
