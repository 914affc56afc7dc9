from __future__ import annotations

import copy
from fractions import Fraction
from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from querybudget import ledger
from querybudget.ledger import UNCHARGED, Account, Charge, Line
from querybudget.units import MICRO, Algorithm, Millionths, Quota, Unit
from tests.ledger.play import Player, line
from tests.ledger.strategies import START, Step, histories, quota, quotas

prices = st.sampled_from((MICRO, 1_500_000, 3 * MICRO, 10 * MICRO)) | st.integers(1, 10**8)


def remaining(accounts: dict[str, Account], lines: tuple[Line, ...], now: int) -> list[int]:
    """What is left on each line's budget; read from a copy."""
    books = copy.deepcopy(accounts)
    return [ledger.peek(books[one.partition], (one.quota,), now)[0][0] for one in lines]


@st.composite
def charges(draw: st.DrawFn, *, shadow: bool = False) -> tuple[Line, ...]:
    return tuple(
        line(
            draw(quotas(name=f"b{index}")),
            draw(st.integers(0, 45)),
            partition=draw(st.sampled_from("abc")),
            shadow=shadow and draw(st.booleans()),
        )
        for index in range(draw(st.integers(1, 5)))
    )


def accounts_for(lines: tuple[Line, ...]) -> dict[str, Account]:
    return {one.partition: Account() for one in lines}


@given(charges(), st.lists(st.integers(0, 60), min_size=1, max_size=8), prices)
def test_all_lines_are_charged_or_none(
    lines: tuple[Line, ...], pauses: list[int], price: int
) -> None:
    accounts, now = accounts_for(lines), START
    for index, pause in enumerate(pauses):
        now += pause
        before = remaining(accounts, lines, now)
        decision = ledger.reserve(accounts, Charge(f"r{index}", lines, 200, Millionths(price)), now)
        held = decision.reservation.held if decision.reservation else (0,) * len(lines)
        after = [room - amount for room, amount in zip(before, held, strict=True)]
        assert remaining(accounts, lines, now) == after
        assert [status.remaining for status in decision.lines] == after


@given(quotas(), histories(debt=True), st.integers(1, 60), st.integers(1, 30))
def test_after_a_refusal_everything_goes_as_if_it_had_not_been_asked(
    quota: Quota, history: list[Step], amount: int, refusals: int
) -> None:
    player = Player(quota)
    player.play(history)
    other = copy.deepcopy(player)
    for _ in range(refusals):
        wanted = amount if quota.algorithm is not Algorithm.LEASE else MICRO
        asked = Line("a", quota, wanted + quota.capacity, wanted + quota.capacity)
        assert not ledger.reserve(player.accounts, Charge("no", (asked,), 200), player.now).admitted
    assert player.accounts["a"].open == other.accounts["a"].open
    for pause in (0, 1, 5, 40, 0, 100, 1_000):
        player.now += pause
        other.now += pause
        decision, unasked = player.reserve(3), other.reserve(3)
        assert decision == unasked


@given(quotas(), histories(debt=True))
def test_a_line_alone_is_decided_as_it_is_beside_one_that_always_fits(
    quota: Quota, history: list[Step]
) -> None:
    wide = line(Quota("wide", Unit.REQUESTS, 2**50, 1, Algorithm.SLIDING, 2**50), partition="z")
    alone, beside = {"a": Account()}, {"a": Account(), "z": Account()}
    now = START
    for index, step in enumerate(history):
        now += step.pause
        asked = line(quota, step.amount, step.minimum)
        one = ledger.reserve(alone, Charge(f"r{index}", (asked,), 200), now)
        two = ledger.reserve(beside, Charge(f"r{index}", (asked, wide), 200), now)
        assert (one.verdict, one.wait, one.lines[0]) == (two.verdict, two.wait, two.lines[0])
        assert alone["a"] == beside["a"]
        if one.reservation is None or two.reservation is None or step.lasts is None:
            continue
        assert one.reservation.held[0] == two.reservation.held[0]
        ledger.settle(alone, one.reservation, (step.used,), now)
        ledger.settle(beside, two.reservation, (step.used, 0), now)
        assert alone["a"] == beside["a"]


@given(charges(), st.lists(st.integers(0, 60), min_size=1, max_size=8))
def test_partitions_never_touch(lines: tuple[Line, ...], pauses: list[int]) -> None:
    accounts = accounts_for(lines)
    accounts["z"] = Account()
    alone = {"z": Account()}
    own = tuple(Line("z", one.quota, one.amount, one.minimum) for one in lines)
    now = START
    for index, pause in enumerate(pauses):
        now += pause
        ledger.reserve(accounts, Charge(f"r{index}", lines, 200), now)
        charge = Charge(f"z{index}", own, 200)
        assert ledger.reserve(accounts, charge, now) == ledger.reserve(alone, charge, now)
    assert accounts["z"] == alone["z"]


@given(charges(shadow=True), st.lists(st.integers(0, 60), min_size=1, max_size=12))
def test_a_shadow_line_never_refuses(lines: tuple[Line, ...], pauses: list[int]) -> None:
    accounts, now = accounts_for(lines), START
    real = tuple(one for one in lines if not one.shadow)
    others = accounts_for(real)
    for index, pause in enumerate(pauses):
        now += pause
        decision = ledger.reserve(accounts, Charge(f"r{index}", lines, 200), now)
        without = ledger.reserve(others, Charge(f"r{index}", real, 200), now)
        assert decision.admitted == without.admitted
        assert (decision.verdict, decision.wait) == (without.verdict, without.wait)
        assert decision.violated == without.violated


@given(quotas(name="shadow"), histories(), st.booleans())
def test_shadow_lines_hold_what_they_would_if_they_were_enforced(
    quota: Quota, history: list[Step], together: bool
) -> None:
    """Two worlds: in one the budget is a shadow, in the other it is enforced."""
    shadow, enforced = {"a": Account()}, {"a": Account()}
    other = line(quotas_second(), partition="a", shadow=together)
    now = START
    for index, step in enumerate(history):
        now += step.pause
        seen = line(quota, step.amount, shadow=True), other
        meant = line(quota, step.amount), Line("a", other.quota, other.amount, other.minimum)
        first = ledger.reserve(shadow, Charge(f"r{index}", seen, 200), now)
        second = ledger.reserve(enforced, Charge(f"r{index}", meant, 200), now)
        if together:
            assert (not first.shadowed) == second.admitted
        assert first.admitted or not second.admitted
        if not together and first.shadowed:
            break  # the enforced budget beside it holds more from here on, by definition
        if first.reservation and second.reservation:
            assert first.reservation.held == second.reservation.held
        for result, accounts in ((first, shadow), (second, enforced)):
            if result.reservation and step.lasts is not None:
                ledger.settle(accounts, result.reservation, (step.used, 1), now)
        everything = (quota, other.quota)
        assert ledger.peek(copy.deepcopy(shadow["a"]), everything, now) == ledger.peek(
            copy.deepcopy(enforced["a"]), everything, now
        )


def quotas_second() -> Quota:
    return quota(Algorithm.SLIDING, 20, name="second")


def test_a_shadow_line_left_alone_still_says_when_it_is_whole() -> None:
    full, other = quota(Algorithm.SLIDING, 1), quota(Algorithm.SLIDING, 9, name="other")
    lines = line(full, shadow=True), line(other, shadow=True)
    accounts = {"a": Account()}
    ledger.reserve(accounts, Charge("r1", lines, 200), START)
    decision = ledger.reserve(accounts, Charge("r2", lines, 200), START + 10)
    assert decision.reservation
    assert decision.reservation.held == (UNCHARGED, UNCHARGED)
    assert [(s.remaining, s.reset, s.wait) for s in decision.lines] == [(0, 90, 90), (8, 90, 0)]


def test_a_refusal_says_of_lines_that_fit_when_they_are_whole() -> None:
    full, other = quota(Algorithm.SLIDING, 1), quota(Algorithm.SLIDING, 9, name="other")
    lines = line(full), line(other)
    accounts = {"a": Account()}
    ledger.reserve(accounts, Charge("r1", lines, 200), START)
    decision = ledger.reserve(accounts, Charge("r2", lines, 200), START + 10)
    assert [(s.remaining, s.reset, s.wait) for s in decision.lines] == [(0, 90, 90), (8, 90, 0)]


@given(quotas(), st.integers(0, 10**9), prices, st.integers(0, 10**9))
def test_price_scales_all_but_leases_and_rounds_up(
    quota: Quota, amount: int, price: int, used: int
) -> None:
    roomy = quotas_like(quota, 2**60)
    lease = roomy.algorithm is Algorithm.LEASE
    accounts = {"a": Account()}
    wanted = line(roomy, amount)
    charge = Charge("r", (wanted,), 200, Millionths(price))
    reservation = ledger.reserve(accounts, charge, START).reservation
    assert reservation
    assert reservation.held == ((MICRO if lease else ceil(Fraction(amount * price, MICRO))),)
    ledger.settle(accounts, reservation, (used,), START)
    left = ledger.peek(accounts["a"], (roomy,), START)[0][0]
    spent = 0 if lease else ceil(Fraction(used * price, MICRO))
    assert left == roomy.capacity - spent


def quotas_like(like: Quota, limit: int) -> Quota:
    return quota(like.algorithm, limit, like.window or 100)


@given(quotas(), st.integers(0, 45), st.integers(0, 45), prices, prices)
def test_a_higher_price_or_a_larger_call_never_holds_less(
    quota: Quota, amount: int, more: int, price: int, dearer: int
) -> None:
    held = []
    for size, factor in ((amount, min(price, dearer)), (amount + more, max(price, dearer))):
        asked = line(quota, size, 0)
        charge = Charge("r", (asked,), 200, Millionths(factor))
        reservation = ledger.reserve({"a": Account()}, charge, START).reservation
        assert reservation
        held.append(reservation.held[0])
    assert held[0] <= held[1]
