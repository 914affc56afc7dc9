from __future__ import annotations

import copy

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from querybudget import ledger
from querybudget.ledger import GRACE, Account, Charge, Settled
from querybudget.ledger.windows import LARGEST_USE, LAST_MOMENT
from querybudget.units import MICRO, SECOND, Algorithm, Quota
from tests.ledger.play import Player, line
from tests.ledger.strategies import RATES, Step, histories, quota, quotas

HOLD = 200


@given(quotas(), histories(debt=True), st.data())
def test_a_call_settled_at_once_leaves_the_budget_as_if_it_had_asked_for_what_it_used(
    quota: Quota, history: list[Step], data: st.DataObject
) -> None:
    player = Player(quota)
    player.play(history)
    before = player.left()
    reservation = player.reserve(data.draw(st.integers(0, 45))).reservation
    if reservation is None:
        return
    lease = quota.algorithm is Algorithm.LEASE
    used = data.draw(st.integers(0, 90))
    assert player.settle(reservation, used) is Settled.DONE
    assert player.left() == before - (0 if lease else used)


@given(quotas(), histories(debt=True), st.integers(0, 90), st.lists(st.integers(0, GRACE * 2)))
def test_settling_again_changes_nothing_however_late(
    quota: Quota, history: list[Step], used: int, pauses: list[int]
) -> None:
    player = Player(quota)
    player.play(history)
    reservation = player.reserve(1).reservation
    if reservation is None:
        return
    player.now += pauses[0] % 300 if pauses else 0
    first = player.settle(reservation, used)
    assert first is not Settled.REPEATED
    for pause in pauses:
        player.now += pause
        left = player.left()
        assert player.settle(reservation, used) is Settled.REPEATED
        assert player.left() == left


@given(quotas(*RATES), histories(), st.integers(1, 20), st.integers(0, 90), st.integers(0, 10**6))
def test_after_expiry_only_overshoot_is_charged(
    quota: Quota, history: list[Step], amount: int, used: int, late: int
) -> None:
    player = Player(quota)
    player.play(history)
    reservation = player.reserve(amount, 0, HOLD).reservation
    if reservation is None:
        return
    held = reservation.held[0]
    player.now += HOLD + late
    left = player.left()
    assert player.settle(reservation, used) is Settled.LATE
    assert player.left() == left - max(0, used - held)


@given(quotas(), st.integers(0, GRACE))
def test_an_expired_reservation_is_remembered_for_its_grace_and_no_longer(
    quota: Quota, after: int
) -> None:
    for pause, settled in ((GRACE - 1, Settled.LATE), (GRACE + after, Settled.REPEATED)):
        player = Player(quota)
        reservation = player.reserve().reservation
        assert reservation
        player.now += HOLD + pause
        left = player.left()
        assert player.settle(reservation, 1) is settled
        assert player.left() == left


@given(quotas(*RATES), st.integers(0, 60))
def test_only_what_is_left_is_granted_and_overshoot_is_debt(quota: Quota, more: int) -> None:
    player = Player(quota)
    reservation = player.reserve(quota.capacity * 5, 1).reservation
    assert reservation
    assert reservation.held == (quota.capacity,)
    player.settle(reservation, quota.capacity + more)
    assert player.left() == -more
    assert not player.reserve(1).admitted
    assert player.reserve(0).admitted is not bool(more)


@given(quotas(*RATES), st.integers(1, 60), st.integers(0, 500))
def test_debt_delays_later_calls(quota: Quota, debt: int, pause: int) -> None:
    waits = []
    for more in (0, debt):
        player = Player(quota)
        reservation = player.reserve(quota.capacity).reservation
        assert reservation
        player.now += pause % HOLD
        player.settle(reservation, quota.capacity + more)
        waits.append(player.reserve(quota.capacity).wait)
    assert waits[1] >= waits[0]


@given(quotas(), histories(debt=True), st.integers(0, 45), st.integers(0, 45))
def test_more_work_never_costs_less(
    quota: Quota, history: list[Step], used: int, more: int
) -> None:
    player = Player(quota)
    player.play(history)
    reservation = player.reserve(5).reservation
    if reservation is None:
        return
    other = copy.deepcopy(player)
    player.settle(reservation, used)
    other.settle(reservation, used + more)
    for _ in range(30):
        assert other.left() <= player.left()
        player.now += 7
        other.now += 7


@given(quotas(), histories(debt=True))
def test_a_settle_without_an_account_changes_nothing(quota: Quota, history: list[Step]) -> None:
    player = Player(quota)
    player.play(history)
    reservation = player.reserve().reservation
    if reservation is None:
        return
    empty: dict[str, Account] = {}
    stranger = {"a": Account()}
    assert ledger.settle(empty, reservation, (40,), player.now) is Settled.REPEATED
    assert ledger.settle(stranger, reservation, (40,), player.now) is Settled.REPEATED
    assert (empty, stranger) == ({}, {"a": Account()})


@given(st.integers(1, 5), st.lists(st.tuples(st.integers(0, 50), st.integers(1, 300))))
def test_a_lost_settle_frees_its_lease_at_its_expiry_whatever_the_order(
    limit: int, calls: list[tuple[int, int]]
) -> None:
    player = Player(quota(Algorithm.LEASE, limit))
    expiries: list[int] = []
    for pause, hold in calls:
        player.now += pause
        if player.reserve(hold=hold).admitted:
            expiries.append(player.now + hold)
        running = sum(expiry > player.now for expiry in expiries)
        assert player.left() == (limit - running) * MICRO


@given(quotas(*RATES), st.lists(st.tuples(st.integers(0, 2**80), st.integers(0, 600)), max_size=9))
def test_no_use_however_large_makes_a_number_that_doubles_do_not_hold_exactly(
    quota: Quota, calls: list[tuple[int, int]]
) -> None:
    player = Player(quota)
    together = [player.reserve(1, 0).reservation for _ in calls]
    for held, (used, pause) in zip(together, calls, strict=True):
        assert held
        player.now += pause
        player.settle(held, used)
        window = player.accounts["a"].windows[quota.key]
        assert max(_numbers(msgspec.to_builtins(window))) <= LARGEST_USE
        assert player.left() >= -LARGEST_USE


def _numbers(built: object) -> list[int]:
    if isinstance(built, list):
        return [number for each in built for number in _numbers(each)]
    return [built] if isinstance(built, int) else [0]


def test_a_debt_of_long_windows_is_paid_by_the_last_moment() -> None:
    player = Player(quota(Algorithm.SLIDING, 1, window=400 * 86_400 * SECOND))
    held = player.reserve(1).reservation
    assert held
    player.settle(held, LARGEST_USE)
    player.now = LAST_MOMENT - 1
    assert player.left() < 0
    player.now += 1
    assert player.left() == 1


def test_what_is_given_back_after_it_leaked_does_not_fill_the_burst_beyond_its_top() -> None:
    player = Player(quota(Algorithm.GCRA, 10))
    reservation = player.reserve(8).reservation
    assert reservation
    player.now += 60
    player.settle(reservation, 0)
    assert player.left() == 10
    player.now += 1
    assert player.left() == 10


def test_what_is_given_back_after_midnight_is_not_given_to_the_new_day() -> None:
    player = Player(quota(Algorithm.CALENDAR, 10), 160 * 1_000 + 49)
    reservation = player.reserve(8).reservation
    assert reservation
    player.now += 1
    player.reserve(4)
    player.settle(reservation, 0)
    assert player.left() == 6


def test_what_a_call_overshoots_after_midnight_is_the_new_days() -> None:
    player = Player(quota(Algorithm.CALENDAR, 10), 160 * 1_000 + 49)
    reservation = player.reserve(8).reservation
    assert reservation
    player.now += 1
    player.settle(reservation, 9)
    assert player.left() == 9


def test_one_settle_closes_the_accounts_that_are_left() -> None:
    budget = quota(Algorithm.SLIDING, 10)
    accounts = {name: Account() for name in "ab"}
    lines = tuple(line(budget, 5, partition=name) for name in "ab")
    reservation = ledger.reserve(accounts, Charge("r", lines, HOLD), 0).reservation
    assert reservation
    del accounts["a"]
    assert ledger.settle(accounts, reservation, (0, 0), 1) is Settled.DONE
    assert ledger.peek(accounts["b"], (budget,), 1) == ((10, 0),)
    assert list(accounts) == ["b"]
