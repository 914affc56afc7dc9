from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.text import (
    amount,
    dollars,
    duration,
    in_units,
    limit,
    listed,
    moment,
    nearest,
    number,
    share,
    span,
    whole_down,
    whole_up,
)
from querybudget.units import MICRO, SECOND, Algorithm, Quota, Unit

DAY = 86_400 * SECOND
LENGTHS = {
    "m": 1_000,
    "second": SECOND,
    "minute": 60 * SECOND,
    "hour": 3_600 * SECOND,
    "day": DAY,
    "week": 7 * DAY,
}
TIMES = st.integers(0, 400 * 86_400 * SECOND)
GO = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)(\.\d+)?s)|(\d+)ms")


def milliseconds(text: str) -> int:
    """The same duration in milliseconds, read as Go's time.ParseDuration would."""
    found = GO.fullmatch(text)
    assert found is not None, text
    hours, minutes, seconds, fraction, small = found.groups()
    if small is not None:
        return int(small)
    whole = int(hours or 0) * 3_600 + int(minutes or 0) * 60 + int(seconds)
    return whole * 1_000 + round(float(fraction or 0) * 1_000)


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (0, "0s"),
        (-5, "0s"),
        (1, "1ms"),
        (12_000, "12ms"),
        (12_001, "13ms"),
        (999_001, "1s"),
        (SECOND, "1s"),
        (1_500_000, "1.5s"),
        (1_050_000, "1.05s"),
        (360 * SECOND, "6m0s"),
        (3_600 * SECOND, "1h0m0s"),
        (86_400 * SECOND + 250_000, "24h0m0.25s"),
    ],
)
def test_a_duration_is_written_as_go_does(time: int, text: str) -> None:
    assert duration(time) == text


@given(TIMES)
def test_a_duration_read_back_is_never_shorter_and_less_than_a_millisecond_longer(
    time: int,
) -> None:
    assert 0 <= milliseconds(duration(time)) * 1_000 - time < 1_000


@given(st.integers(0, 4_000_000_000 * SECOND))
def test_a_moment_read_back_is_never_earlier_and_less_than_a_second_later(time: int) -> None:
    back = datetime.fromisoformat(moment(time))

    assert back.tzinfo == UTC
    assert 0 <= int(back.timestamp()) * SECOND - time < SECOND


def test_a_moment_after_the_last_year_is_its_last_second() -> None:
    assert moment(10**20) == "9999-12-31T23:59:59Z"


@given(st.integers(-(10**12), 10**12))
def test_what_is_left_is_rounded_down_and_what_is_waited_is_rounded_up(amount: int) -> None:
    assert max(0, amount) - MICRO < whole_down(amount) * MICRO <= max(0, amount)
    assert amount <= whole_up(amount) * MICRO < amount + MICRO


@given(st.integers(0, 2**53))
def test_an_amount_in_units_is_exact(amount: int) -> None:
    assert Decimal(in_units(amount)) * MICRO == amount
    assert isinstance(number(amount), int) == (amount % MICRO == 0)


@pytest.mark.parametrize(
    ("micro", "unit", "text"),
    [
        (1_200 * MICRO, Unit.TOKENS, "1,200 tokens"),
        (MICRO, Unit.INPUT_TOKENS, "1 input token"),
        (500_000, Unit.OUTPUT_TOKENS, "0.5 output tokens"),
        (MICRO, Unit.CONCURRENT, "1 call at once"),
        (8 * MICRO, Unit.CONCURRENT, "8 calls at once"),
        (4_200, Unit.USD, "$0.0042"),
        (-1_500_000_000, Unit.USD, "-$1,500"),
    ],
)
def test_an_amount_is_written_with_its_unit(micro: int, unit: Unit, text: str) -> None:
    assert amount(micro, unit) == text


def test_money_can_be_written_with_as_many_places_as_a_column_has() -> None:
    assert dollars(20_500, places=5) == "$0.02050"
    assert dollars(20_500) == "$0.0205"


def test_a_share_is_written_in_percent() -> None:
    assert share(700_000) == "70 %"
    assert share(125_000) == "12.5 %"


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (0, "0 ms"),
        (1, "1 ms"),
        (250_000, "250 ms"),
        (SECOND, "1 second"),
        (1_500_000, "1.5 seconds"),
        (90 * SECOND, "90 seconds"),
        (100 * SECOND, "100 seconds"),
        (120 * SECOND, "2 minutes"),
        (5_400 * SECOND, "90 minutes"),
        (30 * DAY, "30 days"),
        (14 * DAY, "2 weeks"),
    ],
)
def test_a_span_is_written_in_the_largest_unit_that_says_it_exactly(time: int, text: str) -> None:
    assert span(time) == text


@given(TIMES)
def test_a_span_read_back_is_never_shorter_and_less_than_a_millisecond_longer(time: int) -> None:
    count, word = span(time).split()
    back = Decimal(count) * LENGTHS[word.removesuffix("s")]

    assert 0 <= back - time < 1_000


@pytest.mark.parametrize(
    ("unit", "algorithm", "window", "text"),
    [
        (Unit.REQUESTS, Algorithm.SLIDING, 60 * SECOND, "60 requests in any minute"),
        (Unit.BUCKETS, Algorithm.SLIDING, 30 * DAY, "60 buckets in any 30 days"),
        (Unit.USD, Algorithm.CALENDAR, 30 * DAY, "$60 per calendar month"),
        (Unit.USD, Algorithm.CALENDAR, 365 * DAY, "$60 per calendar year"),
        (Unit.TOKENS, Algorithm.CALENDAR, 7 * DAY, "60 tokens per calendar week"),
        (Unit.CONCURRENT, Algorithm.LEASE, 0, "60 calls at once"),
        (Unit.TOKENS, Algorithm.GCRA, 5 * SECOND, "60 tokens per 5 seconds, 7 tokens at once"),
    ],
)
def test_a_limit_is_written_as_people_say_it(
    unit: Unit, algorithm: Algorithm, window: int, text: str
) -> None:
    burst = 7 * MICRO if algorithm is Algorithm.GCRA else 60 * MICRO
    assert limit(Quota("any", unit, 60 * MICRO, window, algorithm, burst)) == text


def test_the_nearest_known_word_is_named_in_its_own_spelling() -> None:
    assert nearest("europe/berln", ["Europe/Berlin"]) == " (did you mean `Europe/Berlin`?)"
    assert nearest("zzz", ["limit"]) == ""


def test_words_are_listed_with_an_or_before_the_last() -> None:
    assert listed(["a"]) == "`a`"
    assert listed(["a", "b"]) == "`a` or `b`"
    assert listed("abc") == "`a`, `b` or `c`"
