"""Nothing that was promised is lost: in each row a fault hits the service while it works.

`lost` is 0 for mails and durable tasks in every row, and for plain tasks as long as Redis keeps what it
holds. What runs twice was in flight when something was killed, and no more than that.
"""

import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import pytest

from tests.chaos import faults
from tests.chaos.report import KINDS, Count, Line
from tests.chaos.world import CONCURRENCY, LOAD, World

# Tasks in flight: a process takes no second one while it works on one.
IN_A_WORKER = CONCURRENCY
WORKERS = 2
IN_ALL = WORKERS * IN_A_WORKER
SHORT_LOAD = 300  # calls of each kind


@dataclass(frozen=True)
class Row:
    """A fault, and what it may cost.

    Args:
        fault: what happens; its docstring says it.
        in_flight: how many tasks it hits while they run, so how many may run twice.
        loses_plain: whether the broker loses what it holds, and with it plain tasks.
        refuses: whether the database refuses rows meanwhile, and so calls fail.
        around: what is set up before and taken down after.
        database: what the service runs on.
        load: calls of each kind; fewer where the fault does not need a long load.
        flowing: the kinds of work of which some must run before the fault begins.
    """

    fault: Callable[[World], None]
    in_flight: int
    loses_plain: bool = False
    refuses: bool = False
    around: Callable[[World], AbstractContextManager[None]] = nullcontext
    database: str = "postgresql"
    load: int = LOAD
    flowing: Sequence[str] = tuple(KINDS)

    @property
    def words(self) -> str:
        """What happens."""
        return str(self.fault.__doc__).rstrip(".")


ROWS = [
    Row(faults.kill_workers, faults.KILLS * IN_A_WORKER),
    Row(faults.kill_pool_children, faults.CHILD_KILLS),
    Row(faults.cut_grace_short, faults.CUTS * IN_ALL),
    # A task goes on while its connection is lost, but cannot be acknowledged: it is handed out again.
    Row(faults.stop_redis, IN_ALL),
    Row(faults.empty_redis, 0, loses_plain=True),
    Row(faults.flush_redis, 0, loses_plain=True),
    Row(faults.kill_connections, faults.CONNECTION_KILLS * IN_ALL),
    Row(faults.hang_redis, IN_ALL),
    Row(faults.share_redis, 0),
    Row(faults.pause_clients, IN_ALL, load=SHORT_LOAD),
    Row(faults.push_odd_messages, 0, load=SHORT_LOAD),
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
    Row(faults.stop_smtp, 0),
    Row(faults.drip_smtp, IN_ALL, load=SHORT_LOAD),
    Row(faults.die_before_commit, faults.DEATHS * IN_ALL),
    Row(faults.freeze_worker, IN_A_WORKER),
    Row(faults.kill_beat, 0, loses_plain=True),
    Row(faults.kill_beat_before_it_saves, 0),
    Row(faults.fill_disk, IN_ALL, refuses=True, database="sqlite"),
]


def repeated(counts: dict[str, Count]) -> int:
    """Return how many runs there were beyond the first of each."""
    return sum(count.duplicated for count in counts.values())


def run(row: Row, world: World) -> dict[str, Count]:
    """Let the fault hit the service under its load, and count what came of it."""
    world.clean()
    with row.around(world):
        world.publish(row.fault.__name__, row.load)
        world.wait_for_work(row.flowing)
        row.fault(world)
        ended = time.monotonic()
        accepted = world.accepted()
        since = world.wait_for(accepted)
        return world.count(accepted, {kind: since[kind] - ended for kind in accepted})


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.fault.__name__)
def test_nothing_promised_is_lost(
    row: Row,
    worlds: Callable[[str], World],
    record_property: Callable[[str, object], None],
) -> None:
    world = worlds(row.database)
    try:
        counts = run(row, world)
        if repeated(counts) > row.in_flight:
            # A shared machine may stand still for longer than a lease. The second run counts, and
            # tests/proof.py fails a run with more than one of them.
            record_property("retries", 1)
            warnings.warn(f"run again: {row.words}: {repeated(counts)} ran twice", stacklevel=1)
            counts = run(row, world)
        record_property("reliability", Line(row.words, counts))
        assert (counts["email"].lost, counts["durable"].lost) == (0, 0)
        assert row.refuses or counts["email"].accepted == counts["durable"].accepted == row.load
        assert row.loses_plain or counts["plain"].lost == 0
        assert repeated(counts) <= row.in_flight
    except BaseException as error:
        error.add_note(world.story())
        raise
