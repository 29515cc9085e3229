"""Crontabs that keep their pace when clocks change.

Celery computes the next run from the numbers on the clock alone. In an hour that occurs twice, it
continues after the second one: `*/5` then pauses for 65 minutes.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from itertools import count, takewhile
from typing import Any

from django_celery_beat.models import CrontabSchedule
from django_celery_beat.tzcrontab import TzAwareCrontab

# No clock is moved by more, except where a country crossed the date line.
MAX_CLOCK_CHANGE = timedelta(hours=3)
ALL_HOURS = 24


class Crontab(TzAwareCrontab):  # type: ignore[misc]
    """A crontab whose runs are times in UTC.

    A run in an hour that is skipped comes as much later as the clocks were moved. In an hour that
    occurs twice, an entry runs both times if it runs several times an hour, or every hour. Other
    entries run the first time only, so a daily one runs once a day.
    """

    @classmethod
    def of(cls, row: CrontabSchedule) -> "Crontab":
        """Return the crontab of a row."""
        return cls(
            minute=row.minute,
            hour=row.hour,
            day_of_week=row.day_of_week,
            day_of_month=row.day_of_month,
            month_of_year=row.month_of_year,
            tz=row.timezone,
        )

    def remaining_estimate(self, last_run_at: datetime, **_: Any) -> timedelta:
        """Return the time until the run after `last_run_at`; negative if it is overdue."""
        now: datetime = self.now()
        return self.next_run(last_run_at) - now.astimezone(UTC)

    def next_run(self, after: datetime) -> datetime:
        """Return the time of the first run after `after`, in UTC."""
        start = after.astimezone(self.tz).replace(tzinfo=None) - self.clock_change(after)
        runs = (
            run
            for on_the_clock in self.clock_times(start)
            for run in self.occurrences(on_the_clock)
            if run > after
        )
        first: datetime = next(runs)
        # What the clock shows later may come earlier.
        change = self.clock_change(first)
        near = takewhile(lambda run: run < first + change, runs) if change else ()
        return min(first, min(near, default=first))

    def clock_change(self, near: datetime) -> timedelta:
        """Return by how much clocks are moved shortly before or after a time, whichever way."""
        return abs(self.offset(near + MAX_CLOCK_CHANGE) - self.offset(near - MAX_CLOCK_CHANGE))

    def offset(self, time: datetime) -> timedelta:
        """Return how far the clock is ahead of UTC."""
        return time.astimezone(self.tz).utcoffset() or timedelta(0)

    def clock_times(self, start: datetime) -> Iterator[datetime]:
        """Yield what the clock shows at each run, without a time zone, from `start` on."""
        times = [time(hour, minute) for hour in sorted(self.hour) for minute in sorted(self.minute)]
        for number in count():
            day = start.date() + timedelta(days=number)
            if (
                day.month in self.month_of_year
                and day.day in self.day_of_month
                and day.isoweekday() % 7 in self.day_of_week
            ):
                combined = (datetime.combine(day, each) for each in times)
                yield from (each for each in combined if each >= start)

    def occurrences(self, on_the_clock: datetime) -> Iterator[datetime]:
        """Yield when the clock shows this, in UTC."""
        first, second = self.to_utc(on_the_clock), self.to_utc(on_the_clock, fold=1)
        yield first
        # Before clocks go forward `second` is earlier, and no clock shows the time at all.
        if second > first and (len(self.minute) > 1 or len(self.hour) == ALL_HOURS):
            yield second

    def to_utc(self, on_the_clock: datetime, fold: int = 0) -> datetime:
        """Return when the clock shows this for the first or, with fold=1, the second time."""
        return on_the_clock.replace(tzinfo=self.tz, fold=fold).astimezone(UTC)
