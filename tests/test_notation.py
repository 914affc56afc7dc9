"""The notation people know, exactly."""

from __future__ import annotations

from collections.abc import Callable

import limits
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget import notation
from querybudget.notation import LARGEST, Limit
from querybudget.units import MICRO, SECOND, Period, Unit

LIMITS = st.builds(
    Limit,
    st.integers(1, LARGEST // MICRO).map(lambda amount: amount * MICRO),
    st.sampled_from([unit for unit in Unit if unit is not Unit.CONCURRENT]),
    st.integers(1, 200),
    st.sampled_from(Period),
)
DOLLARS = st.builds(
    Limit, st.integers(1, LARGEST), st.just(Unit.USD), st.integers(1, 200), st.sampled_from(Period)
)
CONCURRENT = st.builds(
    Limit, st.integers(1, 10**6).map(lambda n: n * MICRO), st.just(Unit.CONCURRENT), st.just(0)
)


@given(LIMITS | DOLLARS | CONCURRENT)
def test_a_limit_reads_back_as_it_is_written(limit: Limit) -> None:
    assert notation.limit(str(limit)) == limit


@given(
    amount=st.integers(1, 10**6),
    per=st.sampled_from(["/", " / ", " per ", "per ", " PER "]),
    count=st.none() | st.integers(1, 99),
    space=st.sampled_from(["", " ", "  "]),
    period=st.sampled_from(["second", "minute", "hour", "day", "month"]),
    plural=st.booleans(),
    upper=st.booleans(),
)
def test_what_the_limits_package_reads_we_read_alike(
    amount: int, per: str, count: int | None, space: str, period: str, plural: bool, upper: bool
) -> None:
    text = f"{amount}{per}{count or ''}{space}{period}{'s' * plural}"
    text = text.upper() if upper else text
    theirs, ours = limits.parse(text), notation.limit(text)
    assert ours.unit is Unit.REQUESTS
    assert ours.amount == theirs.amount * MICRO
    assert ours.window == theirs.get_expiry() * SECOND


@given(st.from_regex(r"[0-9]{1,4} ?(/|per) ?[1-9]?[0-9]? ?[a-z]{1,7}", fullmatch=True))
def test_what_the_limits_package_refuses_we_refuse_too_but_for_our_own_words(text: str) -> None:
    try:
        ours = notation.limit(text)
    except ValueError:
        return
    try:
        limits.parse(text)
    except ValueError:
        word = "".join(letter for letter in text if letter.isalpha()).removeprefix("per")
        assert word in {"s", "sec", "secs", "m", "min", "mins", "h", "hr", "hrs", "d", "w"} | {
            "week",
            "weeks",
        }
        assert ours.amount


def test_a_year_is_365_days_though_the_limits_package_says_360() -> None:
    assert notation.limit("5/year").window == 365 * 86_400 * SECOND
    assert limits.parse("5/year").get_expiry() == 360 * 86_400


@pytest.mark.parametrize(
    ("text", "amount", "unit", "window"),
    [
        ("60 requests/minute", 60, Unit.REQUESTS, 60),
        ("1 request per second", 1, Unit.REQUESTS, 1),
        ("100/5min", 100, Unit.REQUESTS, 300),
        ("2M tokens/day", 2_000_000, Unit.TOKENS, 86_400),
        ("1.5M tokens/day", 1_500_000, Unit.TOKENS, 86_400),
        ("1,000,000 TOKENS / WEEK", 1_000_000, Unit.TOKENS, 604_800),
        ("500K input tokens/hour", 500_000, Unit.INPUT_TOKENS, 3_600),
        ("1B output-tokens/year", 10**9, Unit.OUTPUT_TOKENS, 365 * 86_400),
        ("$5k/month", 5_000, Unit.USD, 30 * 86_400),
        ("$ 5 usd/month", 5, Unit.USD, 30 * 86_400),
        ("3 dollars/h", 3, Unit.USD, 3_600),
        ("8 concurrent", 8, Unit.CONCURRENT, 0),
        ("1 concurrent request", 1, Unit.CONCURRENT, 0),
    ],
)
def test_limits_are_read_as_people_write_them(
    text: str, amount: int, unit: Unit, window: int
) -> None:
    limit = notation.limit(text)
    assert (limit.amount, limit.unit, limit.window) == (amount * MICRO, unit, window * SECOND)


def answer(read: Callable[[str], object], text: str) -> str:
    try:
        read(text)
    except ValueError as error:
        return str(error)
    return "expected nothing else"


@given(st.text(max_size=40))
def test_any_other_text_is_refused_in_words_and_not_by_a_traceback(text: str) -> None:
    for read in (
        notation.limit,
        notation.duration,
        notation.size,
        notation.factor,
        notation.share,
        notation.price_per_million,
        notation.price_per_request,
        notation.burst,
    ):
        assert answer(read, text).startswith("expected ")


@pytest.mark.parametrize(
    "text",
    ["1,00/day", "1__0/day", "_1/day", "1_/day", "٣/day", "1e3/day", "2m tokens/day", "+1/day"],
)
def test_numbers_that_could_mean_two_things_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a limit such as"):
        notation.limit(text)


def test_amounts_go_up_to_what_every_store_can_count_and_no_further() -> None:
    assert notation.limit(f"{LARGEST // MICRO} tokens/day").amount <= LARGEST
    with pytest.raises(ValueError, match="too large to count exactly"):
        notation.limit(f"{LARGEST // MICRO + 1} tokens/day")
    with pytest.raises(ValueError, match="too large to count exactly"):
        notation.limit("5/999999999 years")


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("500ms", 500_000),
        ("30s", 30 * SECOND),
        ("15 minutes", 900 * SECOND),
        ("1.5h", 5400 * SECOND),
    ],
)
def test_durations_are_exact(text: str, micros: int) -> None:
    assert notation.duration(text) == micros


@pytest.mark.parametrize("text", ["0s", "30", "-1s", "s", "0.0000001s", "3 moons"])
def test_durations_need_a_unit_and_more_than_nothing(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        notation.duration(text)


@pytest.mark.parametrize("text", ["0", "0s", "0 minutes", "0.0h", " 0 days "])
def test_no_time_at_all_may_have_passed_in_any_unit(text: str) -> None:
    assert notation.elapsed(text) == 0


@pytest.mark.parametrize("text", ["0 moons", "-1s", "soon", "5"])
def test_a_time_that_has_passed_has_a_unit_that_exists(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        notation.elapsed(text)
    assert notation.elapsed("5 minutes") == notation.duration("5 minutes")


@pytest.mark.parametrize(
    ("text", "octets"),
    [("16 MiB", 16 << 20), ("1KB", 1000), ("1.5 KiB", 1536), ("42", 42), ("7 bytes", 7)],
)
def test_sizes_are_exact(text: str, octets: int) -> None:
    assert notation.size(text) == octets


@given(st.integers(0, LARGEST))
def test_factors_and_prices_are_exact_to_their_last_step(millionths: int) -> None:
    text = f"{millionths // MICRO}.{millionths % MICRO:06}"
    assert notation.factor(text) == millionths
    assert notation.price_per_million(f"${text}") == millionths


@given(st.integers(0, MICRO) | st.integers(0, LARGEST))
def test_shares_are_exact_factors_up_to_one(millionths: int) -> None:
    text = f"{millionths // MICRO}.{millionths % MICRO:06}"
    if millionths <= MICRO:
        assert notation.share(text) == millionths
    else:
        with pytest.raises(ValueError, match="expected a share from 0 to 1"):
            notation.share(text)


@given(st.integers(0, LARGEST // MICRO))
def test_prices_of_requests_are_exact_to_their_last_step(millionths: int) -> None:
    text = f"{millionths // MICRO}.{millionths % MICRO:06}"
    assert notation.price_per_request(text) == millionths * MICRO


def test_steps_too_fine_to_hold_are_refused_and_not_rounded() -> None:
    with pytest.raises(ValueError, match="in steps of"):
        notation.factor("0.0000001")
    with pytest.raises(ValueError, match="six decimals"):
        notation.limit("$0.0000001/day")
