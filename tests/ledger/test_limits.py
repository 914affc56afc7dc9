from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.ledger import Decision
from querybudget.ledger.windows import LARGEST_USE
from querybudget.units import MICRO, SECOND, Algorithm, Quota, Unit
from tests.ledger.play import Player
from tests.ledger.strategies import KINDS, START, Step, histories, quota, quotas, uneven


@given(quotas(Algorithm.SLIDING), histories())
def test_no_stretch_of_one_window_ever_holds_more_than_the_limit(
    quota: Quota, history: list[Step]
) -> None:
    player = Player(quota)
    player.play(history)
    for first in player.uses:
        stretch = range(first.at, first.at + quota.window)
        assert sum(use.amount for use in player.uses if use.at in stretch) <= quota.limit


@given(quotas(Algorithm.SLIDING), histories(debt=True))
def test_what_is_granted_fits_beside_all_that_was_used_within_a_window_overshoot_too(
    quota: Quota, history: list[Step]
) -> None:
    player = Player(quota)

    def check(decision: Decision) -> None:
        if decision.reservation and decision.reservation.held[0]:
            since = player.now - quota.window
            recent = [use for use in (*player.uses, *player.overshoots) if use.at > since]
            assert sum(use.amount for use in recent) <= quota.limit

    player.play(history, check)


def test_what_is_given_back_to_others_overshoot_counts_from_then_on() -> None:
    player = Player(quota(Algorithm.SLIDING, 10), START - START % 100)
    first, second = player.reserve(5).reservation, player.reserve(5).reservation
    assert first
    assert second
    player.now += 90
    player.settle(second, 8)
    player.now += 5
    player.settle(first, 0)
    assert player.left() == 2
    player.now += 5
    assert player.left() == 7
    player.now += 95
    assert player.left() == 10


@given(quotas(Algorithm.SLIDING), histories())
def test_a_sliding_window_refuses_only_for_use_within_a_window_and_a_slot(
    quota: Quota, history: list[Step]
) -> None:
    player = Player(quota)

    def check(decision: Decision) -> None:
        if decision.admitted or decision.wait == 0:
            return
        since = player.now - quota.window - quota.slot
        recent = sum(use.amount for use in player.uses if use.at > since)
        assert recent + decision.lines[0].line.minimum > quota.limit

    player.play(history, check)


@given(quotas(Algorithm.GCRA), histories())
def test_from_the_first_charge_on_gcra_grants_a_burst_and_the_rate_times_the_time(
    quota: Quota, history: list[Step]
) -> None:
    player = Player(quota)

    def check(_: Decision) -> None:
        if player.uses:
            passed = player.now - player.uses[0].at
            most = quota.burst + Fraction(quota.limit * passed, quota.window)
            assert sum(use.amount for use in player.uses) <= most

    player.play(history, check)


@given(quotas(Algorithm.GCRA), histories())
def test_between_any_two_moments_gcra_grants_calls_that_use_what_they_hold_no_more(
    quota: Quota, history: list[Step]
) -> None:
    player = Player(quota)
    player.play([Step(s.pause, s.amount, s.minimum, s.amount, s.lasts) for s in history])
    for index, first in enumerate(player.uses):
        total = 0
        for use in player.uses[index:]:
            total += use.amount
            passed = use.at - first.at
            assert total <= quota.burst + Fraction(quota.limit * passed, quota.window)


@given(quotas(Algorithm.CALENDAR), histories())
def test_each_calendar_period_holds_at_most_its_limit(quota: Quota, history: list[Step]) -> None:
    player = Player(quota)
    player.play(history)
    for start in {uneven(use.at)[0] for use in player.uses}:
        assert sum(u.amount for u in player.uses if uneven(u.at)[0] == start) <= quota.limit


@given(quotas(Algorithm.LEASE), histories())
def test_never_more_calls_are_open_than_the_limit(quota: Quota, history: list[Step]) -> None:
    player = Player(quota)

    def check(_: Decision) -> None:
        running = [use for use in player.uses if use.ends > player.now]
        assert len(running) * MICRO <= quota.limit

    player.play(history, check)


@given(st.sampled_from(KINDS), st.integers(1, 40), st.integers(0, 500))
def test_the_limit_is_admitted_at_once_and_not_one_more(
    algorithm: Algorithm, limit: int, pause: int
) -> None:
    player = Player(quota(algorithm, limit), START + pause)
    assert sum(player.reserve().admitted for _ in range(limit + 5)) == limit


@pytest.mark.parametrize("algorithm", KINDS)
@pytest.mark.parametrize("limit", [7, 11, 13, 997])
def test_a_limit_that_does_not_divide_its_window_is_admitted_to_the_call(
    algorithm: Algorithm, limit: int
) -> None:
    minute = Quota(
        "rpm",
        Unit.REQUESTS,
        limit * MICRO,
        0 if algorithm is Algorithm.LEASE else 60 * SECOND,
        algorithm,
        limit * MICRO,
        (lambda now: (now - now % 60_000_000, now - now % 60_000_000 + 60_000_000))
        if algorithm is Algorithm.CALENDAR
        else None,
    )
    player = Player(minute)
    admitted = sum(player.reserve(MICRO, hold=SECOND).admitted for _ in range(limit * 2))
    assert admitted == limit


@given(
    st.sampled_from((Algorithm.SLIDING, Algorithm.GCRA, Algorithm.CALENDAR)),
    st.integers(2**40, LARGEST_USE),
    st.integers(0, 1_000),
)
def test_huge_numbers_stay_exact(algorithm: Algorithm, limit: int, spare: int) -> None:
    player = Player(quota(algorithm, limit, window=30 * 86_400 * SECOND))
    assert player.reserve(limit - spare).admitted
    assert player.left() == spare
    assert not player.reserve(spare + 1).admitted
    assert player.reserve(spare).admitted
    assert player.left() == 0
