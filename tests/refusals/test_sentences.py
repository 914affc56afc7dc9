from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.refusals.sentences import duration, moment, whole_down, whole_up
from querybudget.units import MICRO, SECOND

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
