"""What tiers may ask of a caller's history, at any moment."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from querybudget.policy.history import NEWCOMER, History, HistoryRule, Span

NOW = 1_767_225_600_000_000
times = st.integers(0, NOW - 1)
values = st.integers(0, 1 << 50)


@given(values, st.integers(1, 1 << 50))
def test_a_value_is_below_a_bound_or_at_least_it(value: int, bound: int) -> None:
    assert Span(below=bound).holds(value) is not Span(at_least=bound).holds(value)


@given(values, st.integers(1, 1 << 50), st.integers(1, 1 << 50))
def test_both_bounds_hold_together(value: int, least: int, below: int) -> None:
    both = Span(least, below).holds(value)
    assert both is (Span(at_least=least).holds(value) and Span(below=below).holds(value))


@given(times, values, values, st.none() | times, times)
def test_a_history_is_what_is_said_and_grows_with_time(
    age: int, calls: int, spent: int, clean: int | None, later: int
) -> None:
    history = History.at(NOW, age=age, calls=calls, spent=spent, clean=clean)
    assert history.age(NOW) == max(age, clean or 0, 1)
    assert history.clean(NOW) == (history.age(NOW) if clean is None else clean)
    assert history.age(NOW + later) == history.age(NOW) + later
    assert history.clean(NOW + later) == history.clean(NOW) + later
    assert (history.calls, history.spent) == (calls, spent)


@given(times)
def test_a_newcomer_stays_one_whatever_the_time(now: int) -> None:
    assert (NEWCOMER.age(now), NEWCOMER.clean(now)) == (0, 0)
    assert not HistoryRule(age=Span(1)).holds(NEWCOMER, now)
    assert HistoryRule(age=Span(below=1), calls=Span(below=1)).holds(NEWCOMER, now)


@given(times, times)
def test_nobody_is_clean_for_longer_than_it_is_known(age: int, clean: int) -> None:
    history = History.at(NOW, age=age, clean=clean)
    assert 0 <= history.clean(NOW) <= history.age(NOW)
