"""Crontabs while clocks change, in every time zone of the world."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest

from durable.beat.crontab import Crontab

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
YEAR = [datetime(2025, 1, 1, tzinfo=UTC) + number * DAY for number in range(365)]


def moved(zone, time, step):
    """Return by how much clocks change within a step."""
    return (time + step).astimezone(zone).utcoffset() - time.astimezone(zone).utcoffset()


def changes_of(zone):
    """Yield when clocks change in a year, and by how much."""
    for day in YEAR:
        if moved(zone, day, DAY):
            hours = (day + number * HOUR for number in range(24))
            yield from ((hour + HOUR, moved(zone, hour, HOUR)) for hour in hours)


def all_changes():
    """Return one example of each kind: at the same hour of the clock, by the same time."""
    zones = map(ZoneInfo, sorted(available_timezones() - {"localtime"}))
    kinds = {
        (time.astimezone(zone).time(), change): (zone, time, change)
        for zone in zones
        for time, change in changes_of(zone)
        if change
    }
    return [
        pytest.param(*kind, id=f"{kind[0].key}, {kind[2].total_seconds():.0f} s")
        for kind in kinds.values()
    ]


CHANGES = all_changes()
every_change = pytest.mark.parametrize(("zone", "time", "change"), CHANGES)


def runs(crontab, start, duration):
    found, time = [], start
    while (time := crontab.next_run(time)) <= start + duration:
        found.append(time)
    return found


def shown(zone, times):
    return [time.astimezone(zone).strftime("%d %H:%M") for time in times]


def test_clocks_go_forward_and_back_by_an_hour_and_by_less_somewhere():
    assert {kind.values[2] for kind in CHANGES} >= {HOUR, -HOUR, HOUR / 2, -HOUR / 2}


@every_change
@pytest.mark.parametrize("minutes", [5, 30])
def test_an_entry_with_several_runs_an_hour_never_pauses(zone, time, change, minutes):
    crontab = Crontab(minute=f"*/{minutes}", tz=zone)

    found = runs(crontab, time - 2 * HOUR, 4 * HOUR)

    gaps = {later - earlier for earlier, later in pairwise(found)}
    assert gaps == {timedelta(minutes=minutes)}


@every_change
def test_an_hourly_entry_runs_each_time_its_minute_is_shown(zone, time, change):
    start, crontab = time - 4 * HOUR, Crontab(minute="50", tz=zone)
    minutes = (start + timedelta(minutes=number) for number in range(1, 8 * 60 + 1))

    expected = [minute for minute in minutes if minute.astimezone(zone).minute == 50]

    # A minute that no clock shows comes later.
    assert set(expected) <= set(runs(crontab, start, 8 * HOUR))
    assert len(runs(crontab, start, 8 * HOUR)) - len(expected) in {0, 1}


@every_change
@pytest.mark.parametrize("clock", ["00:00", "00:45", "01:45", "02:30", "03:15", "23:45"])
def test_a_daily_entry_runs_once_a_day_at_its_time_or_when_clocks_have_moved(
    zone, time, change, clock
):
    hour, minute = clock.split(":")
    crontab = Crontab(hour=hour, minute=minute, tz=zone)
    midnight = (time - 36 * HOUR).astimezone(zone).replace(hour=0, minute=0, fold=0)
    start = midnight.astimezone(UTC) - timedelta(microseconds=1)

    found = runs(crontab, start, 4 * DAY)[:3]

    late = datetime(2025, 1, 1, int(hour), int(minute), tzinfo=UTC) + max(change, timedelta(0))
    assert {each[3:] for each in shown(zone, found)} <= {clock, f"{late:%H:%M}"}
    gaps = [later - earlier for earlier, later in pairwise(found)]
    assert sorted({abs(gap - DAY) for gap in gaps} - {abs(change)}) in ([], [0 * DAY])


@every_change
def test_runs_have_an_order_and_none_is_skipped_by_asking_in_between(zone, time, change):
    crontab = Crontab(minute="7,20,47", hour="0-3,22,23", tz=zone)
    found = runs(crontab, time - 30 * HOUR, 60 * HOUR)

    assert found == sorted(set(found))
    for earlier, later in pairwise(found):
        between = earlier + (later - earlier) / 2
        assert crontab.next_run(between) == later


BERLIN = ZoneInfo("Europe/Berlin")
AUTUMN = datetime(2025, 10, 25, 22, tzinfo=UTC)  # midnight in Berlin
SPRING = datetime(2025, 3, 29, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    ("start", "fields", "expected"),
    [
        (AUTUMN, {"minute": "30"}, ["00:30", "01:30", "02:30", "02:30", "03:30"]),
        (AUTUMN, {"minute": "30", "hour": "1-3"}, ["01:30", "02:30", "03:30"]),
        (AUTUMN, {"minute": "0,30", "hour": "2"}, ["02:00", "02:30", "02:00", "02:30"]),
        (SPRING, {"minute": "30"}, ["00:30", "01:30", "03:30", "04:30", "05:30"]),
        (SPRING, {"minute": "30", "hour": "2"}, ["03:30"]),
        (SPRING, {"minute": "0,30", "hour": "2,3"}, ["03:00", "03:30"]),
    ],
)
def test_what_happens_in_berlin(start, fields, expected):
    found = runs(Crontab(**fields, tz=BERLIN), start, 5 * HOUR - timedelta(seconds=1))

    assert [time[3:] for time in shown(BERLIN, found)] == expected


def test_a_rare_day_is_found():
    crontab = Crontab(
        minute="0", hour="9", day_of_month="29", month_of_year="2", day_of_week="mon", tz=UTC
    )

    assert crontab.next_run(datetime(2017, 1, 1, tzinfo=UTC)) == datetime(
        2044, 2, 29, 9, tzinfo=UTC
    )
