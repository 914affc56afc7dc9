from __future__ import annotations

import copy

from hypothesis import assume, given
from hypothesis import strategies as st

from querybudget import ledger
from querybudget.ledger import Charge, Decision, Verdict
from querybudget.ledger.windows import LEASE_RETRY, LONGEST_WAIT
from querybudget.units import MICRO, Algorithm, Quota, Unit
from tests.ledger.play import Player, line
from tests.ledger.strategies import RATES, START, Step, histories, quota, quotas

fractions = st.lists(st.floats(0, 1, exclude_max=True), max_size=5)


def at(player: Player, charge: Charge, moment: int) -> Decision:
    """What is decided at `moment`, on accounts that nothing else changes."""
    return ledger.reserve(copy.deepcopy(player.accounts), charge, moment)


@given(quotas(*RATES), histories(debt=True), st.integers(0, 45), fractions)
def test_a_promised_wait_is_refused_at_every_fraction_and_admitted_at_its_end(
    quota: Quota, history: list[Step], amount: int, parts: list[float]
) -> None:
    player = Player(quota)
    player.play(history)
    least = max(0, player.left() + 1)  # that does not fit now
    assume(least <= quota.capacity)
    amount = least + amount % (quota.capacity + 1 - least)
    charge = Charge("last", (line(quota, amount),), 200)
    wait = at(player, charge, player.now).wait
    for moment in (0, wait - 1, *(int(wait * part) for part in parts)):
        decision = at(player, charge, player.now + moment)
        assert decision.verdict is Verdict.WAIT
        assert decision.wait == wait - moment
    assert at(player, charge, player.now + wait).admitted


@given(
    st.lists(st.tuples(quotas(*RATES), st.integers(1, 45)), min_size=2, max_size=5),
    st.integers(0, 200),
    fractions,
)
def test_the_wait_for_several_lines_is_exact(
    wanted: list[tuple[Quota, int]], pause: int, parts: list[float]
) -> None:
    lines = tuple(
        line(quota, min(amount, quota.capacity), partition=f"p{index}")
        for index, (quota, amount) in enumerate(wanted)
    )
    accounts = {one.partition: ledger.Account() for one in lines}
    first = ledger.reserve(accounts, Charge("first", lines, 10_000), START)
    assert first.admitted
    charge, now = Charge("next", lines, 200), START + pause
    wait = ledger.reserve(copy.deepcopy(accounts), charge, now).wait
    assume(wait)
    for moment in (wait - 1, *(int(wait * part) for part in parts)):
        assert not ledger.reserve(copy.deepcopy(accounts), charge, now + moment).admitted
    assert ledger.reserve(accounts, charge, now + wait).admitted


@given(quotas(*RATES), histories(debt=True))
def test_the_reset_is_when_nothing_is_used_any_more(quota: Quota, history: list[Step]) -> None:
    player = Player(quota)
    player.play(history)
    ((_, reset),) = ledger.peek(player.accounts["a"], (quota,), player.now)
    player.now += reset
    assert player.left() == quota.capacity
    assert ledger.peek(player.accounts["a"], (quota,), player.now) == ((quota.capacity, 0),)


@given(quotas(*RATES), histories(debt=True))
def test_something_is_used_until_the_reset(quota: Quota, history: list[Step]) -> None:
    player = Player(quota)
    player.play(history)
    ((_, reset),) = ledger.peek(player.accounts["a"], (quota,), player.now)
    assume(reset)
    player.now += reset - 1
    assert player.left() < quota.capacity


@given(quotas(), histories(), st.integers(1, 50))
def test_a_call_that_never_fits_is_distinguished_from_one_that_has_to_wait(
    quota: Quota, history: list[Step], more: int
) -> None:
    player = Player(quota)
    player.play(history)
    too_much = ledger.Line("a", quota, quota.capacity + more, quota.capacity + more)
    decision = at(player, Charge("big", (too_much,), 200), player.now)
    assert (decision.verdict, decision.wait) == (Verdict.NEVER, 0)
    whole = ledger.Line("a", quota, quota.capacity, quota.capacity)
    assert at(player, Charge("whole", (whole,), 200), player.now).verdict is not Verdict.NEVER


def test_a_charge_that_never_fits_does_not_say_the_wait_of_another_line() -> None:
    short, slow = quota(Algorithm.SLIDING, 5), quota(Algorithm.GCRA, 5, name="slow")
    accounts = {"a": ledger.Account()}
    ledger.reserve(accounts, Charge("first", (line(slow, 5),), 200), START)
    decision = ledger.reserve(accounts, Charge("r", (line(short, 6), line(slow)), 200), START)
    assert (decision.verdict, decision.wait) == (Verdict.NEVER, 0)
    assert [status.verdict for status in decision.lines] == [Verdict.NEVER, Verdict.WAIT]
    assert decision.lines[1].wait == 20
    assert decision.violated == ("budget", "slow")


def test_a_refused_lease_says_to_retry_in_a_second() -> None:
    player = Player(quota(Algorithm.LEASE, 1))
    player.reserve(hold=MICRO)
    assert player.reserve().wait == LEASE_RETRY


def test_debt_of_several_periods_is_waited_out_to_the_period_that_has_room() -> None:
    player = Player(quota(Algorithm.CALENDAR, 10), START - START % 160)
    reservation = player.reserve(1).reservation
    assert reservation
    player.settle(reservation, 35)
    # 35 used of 10: the periods of 83 and 27 µs pay 10 each, and the 50 of the next cycle 5.
    assert player.reserve(5).wait == 160
    assert player.reserve(6).wait == 210


def test_a_level_that_leaks_for_centuries_resets_in_at_most_285_years() -> None:
    slow = Quota("slow", Unit.TOKENS, 1, 595_911_297_039, Algorithm.GCRA, 20_000)
    for amount in (15_115, 15_116, 20_000):
        player = Player(slow)
        (status,) = player.reserve(amount).lines
        assert status.reset == min(amount * slow.window, LONGEST_WAIT)
        assert player.reserve(20_000).wait == min(amount * slow.window, LONGEST_WAIT)
