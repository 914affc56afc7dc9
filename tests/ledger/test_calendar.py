"""Calendar periods: every moment in exactly one, whatever the clocks do."""

from __future__ import annotations

import copy
import datetime as dt
import pickle
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.ledger.calendar import Calendar
from querybudget.units import SECOND, Period

HOUR = 3_600 * SECOND
DAY = 24 * HOUR
PERIODS = [period for period in Period if period is not Period.SECOND]
ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",  # changed its clocks a minute past midnight until 2011
    "America/Havana",  # repeats midnight
    "America/Santiago",  # skips midnight
    "America/Sao_Paulo",
    "Africa/Cairo",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",  # moves its clocks by half an hour
    "Pacific/Apia",  # had no 30 December 2011
    "Pacific/Kiritimati",
]
MOMENTS = st.integers(0, 4_000_000_000).map(lambda seconds: seconds * SECOND) | st.integers(
    0, 4_000_000_000 * SECOND
)


def micros(text: str) -> int:
    moment = dt.datetime.fromisoformat(text)
    return (moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)


def transitions(zone: str) -> list[int]:
    found, step = [], 6 * HOUR
    where = ZoneInfo(zone)
    for start in range(micros("2009-01-01T00:00Z"), micros("2013-01-01T00:00Z"), step):
        before, after = (
            dt.datetime.fromtimestamp(at // SECOND, where).utcoffset()
            for at in (start, start + step)
        )
        if before != after:
            found.append(start + step // 2)
    return found


CHANGES = [(zone, at) for zone in ZONES for at in transitions(zone)]


@given(MOMENTS, st.sampled_from(ZONES), st.sampled_from(PERIODS))
def test_a_period_holds_its_moment_and_touches_its_neighbours(
    now: int, zone: str, period: Period
) -> None:
    hold_and_touch(Calendar(period, ZoneInfo(zone)), now)


@given(
    st.sampled_from(CHANGES),
    st.integers(-2 * DAY, 2 * DAY),
    st.sampled_from(PERIODS),
)
def test_periods_touch_also_where_clocks_change(
    change: tuple[str, int], offset: int, period: Period
) -> None:
    zone, at = change
    hold_and_touch(Calendar(period, ZoneInfo(zone)), at + offset)


def hold_and_touch(calendar: Calendar, now: int) -> None:
    start, end = calendar(now)
    assert start <= now < end
    assert calendar(start) == calendar(end - 1) == (start, end)
    assert calendar(end)[0] == end
    assert calendar(start - 1)[1] == start


@given(st.sampled_from(CHANGES), st.integers(-2 * DAY, 2 * DAY))
def test_hours_and_minutes_are_never_too_long(change: tuple[str, int], offset: int) -> None:
    zone, at = change
    for period in (Period.HOUR, Period.MINUTE):
        start, end = Calendar(period, ZoneInfo(zone))(at + offset)
        assert end - start <= period.length


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-01", 24)]
)
def test_the_day_of_a_clock_change_is_shorter_or_longer(day: str, hours: int) -> None:
    noon = micros(f"{day}T12:00+00:00")
    start, end = Calendar(Period.DAY, ZoneInfo("Europe/Berlin"))(noon)
    assert end - start == hours * HOUR


@pytest.mark.parametrize(
    ("period", "start", "end"),
    [
        (Period.MINUTE, "2026-10-25T02:30:00+01:00", "2026-10-25T02:31:00+01:00"),
        (Period.HOUR, "2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00"),
        (Period.DAY, "2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00"),
        (Period.WEEK, "2026-10-19T00:00:00+02:00", "2026-10-26T00:00:00+01:00"),
        (Period.MONTH, "2026-10-01T00:00:00+02:00", "2026-11-01T00:00:00+01:00"),
        (Period.YEAR, "2026-01-01T00:00:00+01:00", "2027-01-01T00:00:00+01:00"),
    ],
)
def test_periods_begin_by_the_zone_s_own_clock(period: Period, start: str, end: str) -> None:
    now = micros("2026-10-25T02:30:10+01:00")
    assert Calendar(period, ZoneInfo("Europe/Berlin"))(now) == (micros(start), micros(end))


def test_hours_of_a_zone_half_an_hour_off_begin_at_its_own_full_hours() -> None:
    start, _ = Calendar(Period.HOUR, ZoneInfo("Asia/Kolkata"))(micros("2026-05-05T10:45+05:30"))
    assert start == micros("2026-05-05T10:00+05:30")


def test_a_date_that_a_country_left_out_is_no_day() -> None:
    before = micros("2011-12-29T12:00-10:00")
    start, end = Calendar(Period.DAY, ZoneInfo("Pacific/Apia"))(before)
    after = Calendar(Period.DAY, ZoneInfo("Pacific/Apia"))(end)
    assert end - start == DAY
    assert after == (end, micros("2012-01-01T00:00+14:00"))


def test_earlier_calls_do_not_change_a_calendars_answer() -> None:
    calendar = Calendar(Period.MONTH, ZoneInfo("Europe/Berlin"))
    june, july = micros("2026-06-15T00:00Z"), micros("2026-07-15T00:00Z")
    first = calendar(june)
    calendar(july)
    assert calendar(june) == first
    assert calendar(june) is calendar(june + 1)


def test_calendars_are_values() -> None:
    calendar = Calendar(Period.DAY, ZoneInfo("Europe/Berlin"))
    calendar(0)
    assert calendar == Calendar(Period.DAY, ZoneInfo("Europe/Berlin"))
    assert hash(calendar) == hash(copy.copy(calendar))
    assert pickle.loads(pickle.dumps(calendar)) == calendar  # noqa: S301 - our own bytes
