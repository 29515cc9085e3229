"""Inline SVG of the work per minute. Numbers only: the template writes them."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from durable.console.finished import MINUTES, Speed

HEIGHT = 100  # units of the chart's view box, without the axis
WIDTH = 10  # of a bar with its gap


@dataclass(frozen=True)
class Bar:
    """One minute; the failed work stands on the done work."""

    title: str
    x: int
    done_y: int
    done_height: int
    failed_y: int
    failed_height: int


@dataclass(frozen=True)
class Chart:
    """The last MINUTES minutes, oldest first.

    Args:
        bars: one for each minute.
        most: work of the busiest minute.
        done, failed: of all minutes.
        first: when the first minute began.
    """

    bars: list[Bar]
    most: int
    done: int
    failed: int
    first: datetime

    @property
    def title(self) -> str:
        """The chart in words."""
        return (
            f"In the last {MINUTES} minutes {self.done} done and {self.failed} failed, "
            f"{self.most} in the busiest minute"
        )


def draw(speed: Speed, now: datetime) -> Chart:
    """Return the chart of a speed.

    Args:
        speed: of all work.
        now: when minute 0 ends.
    """
    counts = [(minute, speed.done[minute], speed.failed[minute]) for minute in range(MINUTES)]
    most = max(done + failed for _minute, done, failed in counts)
    bars = []
    for minute, done, failed in reversed(counts):
        low, high = HEIGHT * done // (most or 1), HEIGHT * (done + failed) // (most or 1)
        begin = (now - timedelta(minutes=minute + 1)).strftime("%H:%M")
        title = f"from {begin}: {done} done, {failed} failed"
        x = (MINUTES - 1 - minute) * WIDTH
        bars.append(Bar(title, x, HEIGHT - low, low, HEIGHT - high, high - low))
    done, failed = (sum(row[index] for row in counts) for index in (1, 2))
    return Chart(bars, most, done, failed, now - timedelta(minutes=MINUTES))


def sparkline(speed: Speed) -> str:
    """Return the points of a line through the work per minute, in a view box of MINUTES by 20."""
    counts = [speed.done[minute] + speed.failed[minute] for minute in range(MINUTES)]
    most = max(counts) or 1
    return " ".join(
        f"{MINUTES - 1 - minute},{19 - 18 * count // most}" for minute, count in enumerate(counts)
    )
