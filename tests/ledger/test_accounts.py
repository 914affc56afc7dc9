from __future__ import annotations

import copy

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget import ledger
from querybudget.ledger import GRACE, Account, Charge, Line
from querybudget.ledger.windows import CalendarState, SlidingState
from querybudget.units import MICRO, SECOND, Algorithm, Quota, Unit
from tests.ledger.play import Player, line
from tests.ledger.strategies import RATES, START, Step, histories, quota, quotas


@given(quotas(*RATES), histories(debt=True), st.integers(0, 10_000))
def test_a_clock_that_goes_back_grants_nothing(
    quota: Quota, history: list[Step], back: int
) -> None:
    player = Player(quota)
    player.play(history)
    left = player.left()
    player.now -= back
    assert player.left() == left
    decision = player.reserve(min(quota.capacity, max(0, left) + 1))
    if not decision.admitted:
        player.now += decision.wait
        assert player.left() > left


@given(quotas(*RATES), histories(debt=True), st.integers(1, 10_000), st.integers(0, 60))
def test_use_charged_before_the_clock_caught_up_is_kept_for_a_whole_window(
    quota: Quota, history: list[Step], back: int, amount: int
) -> None:
    player = Player(quota)
    player.play(history)
    player.reserve(1)  # what was charged last is what a state knows of the time
    steady = copy.deepcopy(player)
    player.now -= back
    assert player.reserve(amount).admitted == steady.reserve(amount).admitted
    player.now = steady.now
    for _ in range(20):
        assert player.left() <= steady.left()
        player.now += 9
        steady.now += 9


def test_a_call_made_while_the_clock_was_behind_gives_back_no_more_than_its_slot_holds() -> None:
    player = Player(quota(Algorithm.SLIDING, 20, 600), START - START % 600)
    player.reserve(3)
    player.now += 10
    player.reserve(5)
    player.now -= 10
    behind = player.reserve(4).reservation
    assert behind
    player.settle(behind, 0)
    player.now += 10
    assert player.left() == 20 - 3 - 5 - 4 + 3
    player.now += 600
    assert player.left() == 20


@given(
    st.sampled_from((60, 61, 100, 119, 1_000, SECOND, 60 * SECOND, 86_400 * SECOND)),
    st.lists(st.tuples(st.floats(0, 0.05), st.booleans()), min_size=50, max_size=300),
)
def test_a_sliding_window_keeps_at_most_61_slots(
    window: int, calls: list[tuple[float, bool]]
) -> None:
    player = Player(quota(Algorithm.SLIDING, 2**60, window))
    for pause, overshoots in calls:
        player.now += round(pause * window)
        reservation = player.reserve(1, hold=2**50).reservation
        assert reservation
        if overshoots:
            player.settle(reservation, 3)
        state = player.accounts["a"].windows[player.quota.key]
        assert isinstance(state, SlidingState)
        assert len(state.marks) <= 2 * 61


@pytest.mark.parametrize("window", [59, 60, 61, 119, 1_000, SECOND, 60 * SECOND])
def test_calls_as_even_as_can_be_keep_at_most_61_slots(window: int) -> None:
    player = Player(quota(Algorithm.SLIDING, 2**60, window))
    for _ in range(500):
        player.now += max(1, window // 200)
        player.reserve(1)
        state = player.accounts["a"].windows[player.quota.key]
        assert isinstance(state, SlidingState)
        assert len(state.marks) <= 2 * 61


def test_settles_alone_keep_at_most_61_slots() -> None:
    player = Player(quota(Algorithm.SLIDING, 2**60, 60 * SECOND))
    reservations = [player.reserve(1, hold=2**50).reservation for _ in range(500)]
    for reservation in reservations:
        player.now += SECOND
        assert reservation
        player.settle(reservation, 2)
    state = player.accounts["a"].windows[player.quota.key]
    assert isinstance(state, SlidingState)
    assert len(state.marks) == 2 * 60


@given(quotas(), st.integers(100, 300))
def test_an_account_does_not_grow_with_the_number_of_calls(quota: Quota, calls: int) -> None:
    player = Player(quota)
    for _ in range(calls):
        player.now += 3
        reservation = player.reserve().reservation
        if reservation:
            player.settle(reservation, 0 if quota.algorithm is Algorithm.LEASE else 1)
    assert not player.accounts["a"].open
    assert len(msgspec.msgpack.encode(player.accounts["a"])) < 61 * (9 + 2) + 60


def test_lost_settles_are_forgotten_in_the_end() -> None:
    player = Player(quota(Algorithm.GCRA, 10**6))
    for _ in range(100):
        player.reserve(1)
        player.now += GRACE // 10
    assert len(player.accounts["a"].open) <= 11


@given(quotas(*RATES), histories(debt=True))
def test_a_packed_account_behaves_as_the_original(quota: Quota, history: list[Step]) -> None:
    player = Player(quota)
    player.play(history)
    packed = msgspec.msgpack.encode(player.accounts["a"])
    other = copy.deepcopy(player)
    other.accounts["a"] = msgspec.msgpack.decode(packed, type=Account)
    assert other.accounts == player.accounts
    for _ in range(10):
        player.now += 13
        other.now += 13
        assert player.reserve(5) == other.reserve(5)


@given(
    st.lists(st.tuples(quotas(), st.integers(0, 45)), min_size=1, max_size=6),
    st.lists(st.integers(0, 90), max_size=20),
)
def test_an_account_of_many_budgets_survives_packing(
    wanted: list[tuple[Quota, int]], pauses: list[int]
) -> None:
    account, now = Account(START), START
    for count, pause in enumerate(pauses):
        now += pause
        for index, (budget, amount) in enumerate(wanted):
            charge = Charge(f"r{count}.{index}", (line(budget, amount),), 200)
            ledger.reserve({"a": account}, charge, now)
    packed = msgspec.msgpack.encode(account)
    assert msgspec.msgpack.decode(packed, type=Account) == account


def test_four_budgets_of_a_caller_pack_into_a_few_hundred_bytes() -> None:
    hour = 3_600 * SECOND
    kinds = {
        "rpm": (Unit.REQUESTS, Algorithm.SLIDING, 60 * SECOND),
        "tokens": (Unit.TOKENS, Algorithm.GCRA, 24 * hour),
        "spend": (Unit.USD, Algorithm.CALENDAR, 30 * 24 * hour),
        "parallel": (Unit.CONCURRENT, Algorithm.LEASE, 0),
    }
    lines = tuple(
        Line(
            "a",
            Quota(name, unit, 10**12, window, kind, 10**12, lambda _: (0, 2**60)),
            MICRO,
            MICRO,
        )
        for name, (unit, kind, window) in kinds.items()
    )
    accounts = {"a": Account(START)}
    for second in range(3):
        charge = Charge(f"0123456789abcdef{second}", lines, hour)
        assert ledger.reserve(accounts, charge, START + second * SECOND).admitted
    assert len(msgspec.msgpack.encode(accounts["a"])) < 400


def test_another_algorithm_starts_empty_and_another_limit_does_not() -> None:
    player = Player(quota(Algorithm.SLIDING, 10))
    player.reserve(6)
    player.quota = quota(Algorithm.SLIDING, 8)
    assert player.left() == 2
    player.quota = quota(Algorithm.GCRA, 8)
    assert player.left() == 8


def test_another_rate_leaves_no_fraction_behind() -> None:
    player = Player(quota(Algorithm.GCRA, 33_333_333, 86_400 * SECOND))
    player.reserve(5_000)
    player.now += SECOND
    player.left()
    player.quota = quota(Algorithm.GCRA, 60 * MICRO, 60 * SECOND)
    player.now += 1
    assert player.left() >= 60 * MICRO - 5_000


@given(quotas(), histories(debt=True))
def test_what_is_left_never_exceeds_the_limit(quota: Quota, history: list[Step]) -> None:
    player = Player(quota)

    def check(decision: ledger.Decision) -> None:
        assert decision.lines[0].remaining <= quota.capacity

    player.play(history, check)


@given(quotas())
def test_an_account_with_everything_given_back_is_blank(quota: Quota) -> None:
    player = Player(quota)
    reservation = player.reserve().reservation
    assert reservation
    assert not player.accounts["a"].blank
    player.settle(reservation, 0)
    assert player.accounts["a"].blank


def test_a_calendar_quota_without_a_calendar_says_so() -> None:
    wrong = Quota("spend", Unit.USD, 10, 100, Algorithm.CALENDAR, 10)
    with pytest.raises(ValueError, match="'spend' has a calendar window but no calendar"):
        CalendarState().room(wrong, START)
