from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import ceil

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget import ledger
from querybudget.coverage import BucketResponse, Observation, Reason, Stage
from querybudget.coverage.calibration import Calibration
from querybudget.coverage.caller import CallerProfile
from querybudget.coverage.group import Group
from querybudget.coverage.response import DEFAULT_STAGES, HYSTERESIS
from querybudget.ledger import (
    UNCHARGED,
    Account,
    Charge,
    Decision,
    Line,
    Reservation,
    Settled,
    Verdict,
)
from querybudget.ledger.bucket_line import SCORE_RETRY
from querybudget.testing.contracts.fixtures import seen
from querybudget.units import MICRO, Algorithm, Millionths, Quota, Unit
from tests.ledger.play import line
from tests.ledger.strategies import (
    RATES,
    START,
    bucket_quota,
    bucket_quotas,
    observations,
    quota,
    quotas,
    responses,
)

HOLD = 200
prices = st.sampled_from((MICRO, 1_500_000, 3 * MICRO, 10 * MICRO))
REFUSING = BucketResponse(stages=DEFAULT_STAGES)
FREE = BucketResponse(cap=MICRO)


def wide(
    quota: Quota, response: BucketResponse | None = None, weight: int = MICRO, **more: object
) -> Line:
    partition, shadow = str(more.get("partition", "a")), bool(more.get("shadow", False))
    return Line(partition, quota, weight, weight, shadow, response)


class Bench:
    """Accounts of an identity, "a", and of a group, "p", and a clock."""

    def __init__(self, now: int = START) -> None:
        self.now = now
        self.accounts = {name: Account(now) for name in "ap"}
        self.count = 0

    def charge(
        self, observation: Observation | None, *lines: Line, price: int = MICRO, hold: int = HOLD
    ) -> Charge:
        self.count += 1
        profiled = () if observation is None else ("a", "p")
        return Charge(f"r{self.count}", lines, hold, Millionths(price), observation, profiled)

    def ask(self, observation: Observation | None, *lines: Line, **more: int) -> Decision:
        return ledger.reserve(self.accounts, self.charge(observation, *lines, **more), self.now)

    def open(self, observation: Observation | None, *lines: Line, **more: int) -> Reservation:
        reservation = self.ask(observation, *lines, **more).reservation
        assert reservation
        return reservation

    def settle(self, reservation: Reservation, *amounts: int) -> Settled:
        return ledger.settle(self.accounts, reservation, amounts, self.now)

    def cover(self, line: Line, *found: int) -> Decision:
        """One call after another, each of one bucket."""
        for cell in found:
            decision = self.ask(seen(cell), line)
            assert decision.reservation, decision
            self.settle(decision.reservation, MICRO)
        return self.ask(seen(), line)

    def left(self, quota: Quota) -> int:
        return ledger.peek(self.accounts["a"], (quota,), self.now)[0][0]

    def score(self, score: int) -> None:
        profile = self.accounts["a"].profile or CallerProfile(calls=1)
        profile.last_score, profile.scored_at = score, self.now
        self.accounts["a"].profile = profile

    @property
    def calls(self) -> int:
        profile = self.accounts["a"].profile
        return profile.calls if isinstance(profile, CallerProfile) else 0

    @property
    def members(self) -> int:
        profile = self.accounts["p"].profile
        return profile.members if isinstance(profile, Group) else 0

    def books(self) -> bytes:
        return msgspec.msgpack.encode(self.accounts)


@dataclass(frozen=True)
class Step:
    pause: int
    observation: Observation
    weight: int
    answered: bool | None


histories = st.lists(
    st.builds(
        Step,
        st.integers(0, 3) | st.integers(0, 200),
        observations(),
        st.sampled_from((MICRO, MICRO, 2 * MICRO)),
        st.sampled_from((True, True, False, None)),
    ),
    max_size=15,
)
tight = st.builds(bucket_quota, st.integers(1, 4), st.sampled_from((100, 150, 450)))
"""Budgets that are soon spent."""


def played(quota: Quota, response: BucketResponse | None, history: Sequence[Step]) -> Bench:
    bench = Bench()
    for step in history:
        bench.now += step.pause
        decision = bench.ask(step.observation, wide(quota, response, step.weight))
        if decision.reservation and step.answered is not None:
            bench.settle(decision.reservation, MICRO * step.answered)
    return bench


# -- The limit ------------------------------------------------------------------------------------


@given(bucket_quotas(), histories)
def test_no_window_ever_holds_more_new_buckets_than_the_limit(
    quota: Quota, history: list[Step]
) -> None:
    bench = Bench()
    known: set[int] = set()
    spent: list[tuple[int, int]] = []
    for step in history:
        bench.now += step.pause
        cells = {chunk.cell for chunk in step.observation.said}
        decision = bench.ask(step.observation, wide(quota))
        if decision.reservation:
            assert decision.reservation.held == (len(cells - known) * MICRO,)
            spent.append((len(cells - known), bench.now))
            known |= cells
        within = sum(count for count, at in spent if at > bench.now - quota.window)
        assert within * MICRO <= quota.limit


def test_the_limit_is_admitted_and_not_one_bucket_more() -> None:
    bench, line = Bench(), wide(bucket_quota(5))
    assert [bench.ask(seen(cell), line).admitted for cell in range(7)] == [True] * 5 + [False] * 2


def test_parallel_calls_cannot_pass_the_limit_together_and_failed_ones_make_room() -> None:
    bench, line = Bench(), wide(bucket_quota(2))
    first = bench.open(seen(1), line)
    bench.open(seen(2), line)
    assert not bench.ask(seen(3), line).admitted
    bench.settle(first, 0)
    assert bench.ask(seen(3), line).admitted


def test_a_call_on_known_ground_fits_a_full_budget() -> None:
    for response in (None, FREE, REFUSING):
        bench, line = Bench(), wide(bucket_quota(3), response)
        bench.cover(line, 1, 2, 3)
        assert bench.ask(seen(1, 3), line).admitted
        assert bench.ask(seen(), line).admitted
        refused = bench.ask(seen(1, 4), line)
        assert (refused.verdict, refused.stage) == (Verdict.WAIT, Stage.REFUSE)
        assert refused.violated == ("breadth",)


def test_a_call_with_more_buckets_than_the_limit_never_fits() -> None:
    bench, line = Bench(), wide(bucket_quota(2))
    decision = bench.ask(seen(1, 2, 3), line)
    assert (decision.verdict, decision.wait) == (Verdict.NEVER, 0)
    assert bench.ask(seen(1, 2), line).admitted


def test_each_new_bucket_counts_for_what_it_weighs() -> None:
    bench, quota = Bench(), bucket_quota(10)
    reservation = bench.open(seen(1, 2), wide(quota, weight=3 * MICRO))
    assert reservation.held == (6 * MICRO,)
    bench.settle(reservation, MICRO)
    assert bench.open(seen(1, 3), wide(quota)).held == (MICRO,)
    assert bench.left(quota) == 3 * MICRO


def test_a_lowered_limit_refuses_new_ground_only() -> None:
    bench = Bench()
    bench.cover(wide(bucket_quota(5)), 1, 2, 3, 4)
    lower = wide(bucket_quota(2))
    assert bench.left(lower.quota) == -2 * MICRO
    assert not bench.ask(seen(5), lower).admitted
    assert bench.open(seen(1), lower).held == (0,)
    assert bench.left(lower.quota) == -2 * MICRO


def test_a_group_spends_what_its_identities_newly_enter() -> None:
    bench, pool = Bench(), wide(bucket_quota(10), partition="p")
    held = [bench.open(seen(*cells), pool).held for cells in ((1, 2), (2, 3), (1,))]
    assert held == [(2 * MICRO,), (MICRO,), (0,)]


@given(tight, responses(), histories, observations(), st.lists(st.floats(0, 1), max_size=4))
def test_a_wait_is_exact(
    quota: Quota,
    response: BucketResponse,
    history: list[Step],
    observation: Observation,
    parts: list[float],
) -> None:
    bench = played(quota, response, history)
    charge = bench.charge(observation, wide(quota, response))
    wait = ledger.reserve(copy.deepcopy(bench.accounts), charge, bench.now).wait
    if not wait:
        return
    for moment in (wait - 1, *(int((wait - 1) * part) for part in parts)):
        accounts = copy.deepcopy(bench.accounts)
        decision = ledger.reserve(accounts, charge, bench.now + moment)
        assert (decision.verdict, decision.wait) == (Verdict.WAIT, wait - moment)
    assert ledger.reserve(bench.accounts, charge, bench.now + wait).admitted


@given(
    tight, responses(), histories, observations(), quotas(*RATES, name="plain"), st.integers(1, 45)
)
def test_a_wait_is_exact_though_the_price_falls_meanwhile(
    breadth: Quota,
    response: BucketResponse,
    history: list[Step],
    observation: Observation,
    plain: Quota,
    amount: int,
) -> None:
    bench = played(breadth, response, history)
    minimum = min(amount, plain.capacity)
    lines = wide(breadth, response), line(plain, minimum)
    first = line(plain, plain.capacity // 2)
    bench.ask(None, first)
    charge = bench.charge(observation, *lines)
    decision = ledger.reserve(copy.deepcopy(bench.accounts), charge, bench.now)
    wait = decision.wait
    if not wait:
        return
    for moment in (wait - 1, wait // 2, wait // 3):
        accounts = copy.deepcopy(bench.accounts)
        assert ledger.reserve(accounts, charge, bench.now + moment).wait == wait - moment
    assert ledger.reserve(bench.accounts, charge, bench.now + wait).admitted


def test_a_call_that_is_too_expensive_now_waits_until_the_price_has_fallen() -> None:
    bench, quota_of_ten = Bench(), quota(Algorithm.SLIDING, 10, 1_000)
    covered = wide(bucket_quota(4), BucketResponse(free=0))
    bench.cover(covered, 1, 2, 3)
    decision = bench.ask(seen(1), covered, line(quota_of_ten, 5))
    assert (decision.verdict, decision.price) == (Verdict.WAIT, 5_623_413)
    bench.now += decision.wait - 1
    assert not bench.ask(seen(1), covered, line(quota_of_ten, 5)).admitted
    bench.now += 1
    assert bench.ask(seen(1), covered, line(quota_of_ten, 5)).admitted


@given(st.integers(1, 500), st.integers(1, 3 * MICRO))
def test_a_scaled_limit_is_a_whole_number_of_buckets_and_at_least_one(
    limit: int, factor: int
) -> None:
    scaled = bucket_quota(limit).scaled(factor)
    assert scaled.limit == max(1, limit * factor // MICRO) * MICRO
    assert scaled.key == bucket_quota(limit).key


# -- Settling -------------------------------------------------------------------------------------


def test_a_call_that_is_never_settled_keeps_its_cost() -> None:
    bench, quota = Bench(), bucket_quota(5, 10_000)
    reservation = bench.open(seen(2), wide(quota))
    bench.now += HOLD
    assert bench.settle(reservation, 0) is Settled.LATE
    assert bench.left(quota) == 4 * MICRO


def test_settling_again_changes_nothing() -> None:
    bench, quota = Bench(), bucket_quota(5, 10_000)
    done, failed = bench.open(seen(1), wide(quota)), bench.open(seen(2), wide(quota))
    bench.settle(done, MICRO)
    bench.settle(failed, 0)
    for reservation in (done, failed):
        for amount in (0, MICRO):
            books = bench.books()
            assert bench.settle(reservation, amount) is Settled.REPEATED
            assert bench.books() == books


@given(bucket_quotas(), responses(), histories, observations())
def test_a_call_that_failed_leaves_the_budget_as_it_was(
    quota: Quota, response: BucketResponse, history: list[Step], observation: Observation
) -> None:
    bench = played(quota, response, history)
    left = bench.left(quota)
    decision = bench.ask(observation, wide(quota, response))
    if decision.reservation:
        bench.settle(decision.reservation, 0)
    assert bench.left(quota) == left


# -- All lines or none ----------------------------------------------------------------------------


@given(bucket_quotas(), responses(), histories, observations(), st.integers(1, 45), prices)
def test_all_lines_are_charged_or_none(
    quota_: Quota,
    response: BucketResponse,
    history: list[Step],
    observation: Observation,
    amount: int,
    price: int,
) -> None:
    bench = played(quota_, response, history)
    lines = line(quota(Algorithm.SLIDING, 50), amount), wide(quota_, response)
    everything = tuple(one.quota for one in lines)
    before = [left for left, _ in ledger.peek(bench.accounts["a"], everything, bench.now)]
    decision = bench.ask(observation, *lines, price=price)
    held = decision.reservation.held if decision.reservation else (0, 0)
    after = [room - amount for room, amount in zip(before, held, strict=True)]
    found = ledger.peek(bench.accounts["a"], everything, bench.now)
    assert [left for left, _ in found] == after
    assert [(status.remaining, status.reset) for status in decision.lines] == list(found)


@given(bucket_quotas(), responses(), histories, observations(), st.integers(0, MICRO))
def test_a_refusal_changes_nothing(
    quota: Quota,
    response: BucketResponse,
    history: list[Step],
    observation: Observation,
    score: int,
) -> None:
    bench = played(quota, response, [Step(0, seen(), MICRO, answered=False), *history])
    bench.score(score)
    bench.left(quota)  # what time alone does
    books = bench.books()
    if not bench.ask(observation, wide(quota, response)).admitted:
        assert bench.books() == books
    full = line(Quota("none", Unit.TOKENS, 1, 100, Algorithm.SLIDING, 1), 5, partition="p")
    bench.left(quota)
    stranger = Bench(bench.now)
    assert not stranger.ask(observation, wide(quota, response), full).admitted
    assert stranger.left(quota) == quota.limit


@given(quotas(), st.lists(st.tuples(st.integers(0, 60), st.integers(0, 45)), max_size=12), prices)
def test_a_call_that_shows_something_is_charged_like_any_other_on_other_lines(
    quota: Quota, calls: list[tuple[int, int]], price: int
) -> None:
    plain, showing = Bench(), Bench()
    for pause, amount in calls:
        decisions = []
        for bench, observation in ((plain, None), (showing, seen(1))):
            bench.now += pause
            decision = bench.ask(observation, line(quota, amount, amount // 2), price=price)
            if decision.reservation:
                bench.settle(decision.reservation, amount)
            held = decision.reservation and decision.reservation.held
            decisions.append(
                (decision.verdict, decision.wait, decision.price, decision.lines, held)
            )
        assert decisions[0] == decisions[1]
    assert plain.accounts["a"].windows == showing.accounts["a"].windows


# -- Price ----------------------------------------------------------------------------------------


@given(st.integers(0, 10), st.integers(0, 10**6), st.integers(0, 10**6), prices)
def test_the_price_scales_all_but_leases_and_buckets_and_is_kept_for_the_overshoot(
    visited: int, amount: int, used: int, price: int
) -> None:
    bench, response = Bench(), BucketResponse()
    tokens, slots = quota(Algorithm.SLIDING, 2**60), quota(Algorithm.LEASE, 5, name="slots")
    covered = wide(bucket_quota(20), response)
    bench.cover(covered, *range(visited, 2 * visited + visited % 2))
    share = (20 * MICRO - bench.left(covered.quota)) // 20
    total = ceil(Fraction(price * response.price(share), MICRO))
    lines = line(tokens, amount), line(slots), covered
    decision = bench.ask(seen(99), *lines, price=price)
    assert decision.price == total
    reservation = decision.reservation
    assert reservation
    assert reservation.held == (ceil(Fraction(amount * total, MICRO)), MICRO, MICRO)
    bench.settle(reservation, used, MICRO, MICRO)
    assert 2**60 - bench.left(tokens) == ceil(Fraction(used * total, MICRO))


def test_the_highest_price_of_several_budgets_counts() -> None:
    bench = Bench()
    cheap = wide(bucket_quota(100, name="cheap"), BucketResponse())
    dear = wide(bucket_quota(10, name="dear"), BucketResponse())
    reservation = bench.open(seen(*range(9)), cheap, dear)
    bench.settle(reservation, MICRO, MICRO)
    decision = bench.ask(seen(), cheap, dear)
    assert decision.price == BucketResponse().price(900_000)
    assert [status.strain for status in decision.lines] == [90_000, 900_000]


def test_a_call_does_not_pay_for_what_it_visits_itself() -> None:
    bench = Bench()
    covered = wide(bucket_quota(4), BucketResponse(free=0))
    assert bench.ask(seen(1, 2, 3), covered).price == MICRO
    assert bench.ask(seen(), covered).price > MICRO


def test_a_line_without_a_response_only_counts() -> None:
    bench, covered = Bench(), wide(bucket_quota(4))
    bench.score(MICRO)
    decision = bench.cover(covered, 1, 2, 3, 4)
    assert (decision.price, decision.stage, decision.delay) == (MICRO, Stage.NONE, 0)
    assert decision.lines[0].strain == MICRO


# -- Stages ---------------------------------------------------------------------------------------


def test_each_stage_begins_at_its_strain_and_slows_longer_with_more() -> None:
    bench, covered = Bench(), wide(bucket_quota(20, 10_000), REFUSING)
    decisions = [bench.cover(covered, cell) for cell in range(19)]
    found = [decision.stage for decision in decisions]
    assert found == [Stage.NONE] * 12 + [Stage.SLOW] * 4 + [Stage.DEGRADE] * 3
    delays = [decision.delay for decision in decisions]
    assert delays == sorted(delays)
    assert delays[12] == REFUSING.delay // 4
    assert delays[18] < REFUSING.delay


@given(
    st.sampled_from((Stage.SLOW, Stage.DEGRADE)),
    st.integers(2 * HYSTERESIS, MICRO),
    st.lists(st.integers(-HYSTERESIS, HYSTERESIS - 1), min_size=1, max_size=30),
)
def test_a_score_that_wanders_within_the_ease_changes_the_stage_at_most_once(
    stage: Stage, begin: int, wandering: list[int]
) -> None:
    bench, covered = Bench(), wide(bucket_quota(5), BucketResponse(stages=((stage, begin),)))
    found = []
    for drift in wandering:
        bench.score(begin + drift)
        found.append(bench.ask(seen(), covered).stage)
    assert sum(one is not after for one, after in pairwise(found)) <= 1


def test_a_stage_of_none_is_not_kept() -> None:
    bench, covered = Bench(), wide(bucket_quota(10), REFUSING)
    bench.score(750_000)
    bench.ask(seen(), covered)
    profile = bench.accounts["a"].profile
    assert profile
    assert profile.stages == {covered.quota.key: Stage.SLOW}
    bench.score(0)
    bench.ask(seen(), covered)
    assert profile.stages == {}


@given(st.lists(st.sampled_from((7, 8)), min_size=1, max_size=20))
def test_a_share_that_wanders_within_the_ease_changes_the_stage_at_most_once(
    wandering: list[int],
) -> None:
    bench, covered = (
        Bench(),
        wide(bucket_quota(10, 10_000), BucketResponse(stages=((Stage.SLOW, 800_000),))),
    )
    bench.cover(covered, *range(7))
    found = []
    for number, spent in enumerate(wandering):
        more = bench.open(seen(100 + number), covered) if spent == 8 else None
        found.append(bench.ask(seen(), covered).stage)
        if more:
            bench.settle(more, 0)
    assert sum(one is not after for one, after in pairwise(found)) <= 1


def test_a_score_refuses_at_its_stage_whatever_is_visited_and_says_to_retry_in_an_hour() -> None:
    bench, covered = Bench(), wide(bucket_quota(10), REFUSING)
    bench.score(MICRO)
    decision = bench.ask(seen(1), covered)
    assert (decision.verdict, decision.wait) == (Verdict.WAIT, SCORE_RETRY)
    assert (decision.stage, decision.delay, decision.violated) == (Stage.REFUSE, 0, ("breadth",))
    assert not bench.ask(seen(), covered).admitted
    bench.score(MICRO - 1)
    assert bench.ask(seen(), covered).stage is Stage.DEGRADE


def test_a_stage_that_the_score_brought_about_has_its_reasons() -> None:
    bench, covered = Bench(), wide(bucket_quota(10), REFUSING)
    bench.score(0)
    profile = bench.accounts["a"].profile
    assert profile
    profile.reasons = (Reason("manner", 600_000),)
    assert bench.ask(seen(1), covered).reasons == ()
    bench.score(900_000)
    decision = bench.ask(seen(1), covered)
    assert (decision.stage, decision.reasons) == (Stage.DEGRADE, profile.reasons)


def test_a_stage_that_buckets_alone_brought_about_has_no_reasons_of_a_score() -> None:
    bench, covered = Bench(), wide(bucket_quota(10), REFUSING)
    decision = bench.cover(covered, *range(9))
    assert (decision.stage, decision.reasons) == (Stage.DEGRADE, ())


def test_a_score_that_does_not_count_is_no_strain() -> None:
    bench = Bench()
    covered = wide(bucket_quota(10), BucketResponse(stages=DEFAULT_STAGES, scored=False))
    bench.score(MICRO)
    decision = bench.ask(seen(1), covered)
    assert (decision.admitted, decision.lines[0].strain) == (True, 0)


def test_the_score_of_a_pool_is_strain_on_the_pools_own_lines_only() -> None:
    bench, response = Bench(), BucketResponse(stages=DEFAULT_STAGES)
    bench.score(750_000)
    pool = wide(bucket_quota(10), response, partition="p")
    assert bench.ask(seen(1), pool).stage is Stage.NONE
    bench.accounts["p"].profile = Group(members=1, last_score=850_000, scored_at=bench.now)
    assert bench.ask(seen(1), pool).stage is Stage.DEGRADE


STRONG = tuple(Reason(view, 500_000) for view in ("manner", "wording", "direction"))
"""What a caller is suspect for, even without one of them."""


@given(
    tails=st.lists(st.integers(-1, 4), max_size=9),
    own=st.sampled_from((0, 649_999, 650_000, 990_000)),
    reasons=st.sampled_from(((), STRONG, STRONG[:1])),
    subject=st.sampled_from((0, MICRO)),
    network=st.sampled_from((0, 649_999, 650_000, MICRO)),
)
def test_the_score_of_a_pool_refuses_nobody_unless_the_pool_of_another_budget_agrees(
    tails: list[int], own: int, reasons: tuple[Reason, ...], subject: int, network: int
) -> None:
    bench, response = Bench(), BucketResponse(stages=DEFAULT_STAGES)
    scores = {"p": MICRO, "subject": subject, "network": network}
    for partition, score in scores.items():
        pool = Group(members=9, last_score=score, scored_at=bench.now)
        bench.accounts[partition] = Account(bench.now, profile=pool)
    bench.accounts["a"].profile = CallerProfile(
        bench.now, 9, tails=tails, last_score=own, scored_at=bench.now, reasons=reasons
    )
    template, other = bucket_quota(10), bucket_quota(10, name="network")
    decision = bench.ask(
        seen(1),
        wide(template, response, partition="p"),
        wide(template, response, partition="subject"),  # of the same members: no other kind,
        wide(other, BucketResponse(), partition="network"),  # and neither is the member's own score
    )
    profile = bench.accounts["a"].profile
    assert isinstance(profile, CallerProfile)
    agrees = network >= 650_000
    held = Stage.REFUSE if agrees else Stage.DEGRADE
    assert decision.stage is (Stage.NONE if profile.cleared(None, bench.now) else held)


def test_a_pool_with_no_milder_stage_leaves_members_alone_without_another_kind() -> None:
    bench, refusing = Bench(), BucketResponse(stages=((Stage.REFUSE, MICRO),))
    pool = wide(bucket_quota(10), refusing, partition="p")
    bench.accounts["p"].profile = Group(members=9, last_score=MICRO, scored_at=bench.now)
    assert bench.ask(seen(1), pool).admitted


@pytest.mark.parametrize("score", [0, 100_000, 500_000, MICRO])
def test_calibration_moves_every_score_but_none(score: int) -> None:
    bench, covered = Bench(), wide(bucket_quota(10), REFUSING)
    peaks = [0] * 64
    peaks[20] = 1_000
    group = bench.accounts["p"].profile = Group(members=1_000, peaks=peaks)
    calibration = Calibration("p")
    shift = group.shift(calibration)
    assert shift
    bench.score(score)
    charge = msgspec.structs.replace(bench.charge(seen(), covered), calibration=calibration)
    decision = ledger.reserve(bench.accounts, charge, bench.now)
    assert decision.lines[0].strain == (max(0, score + shift) if score else 0)


@pytest.mark.parametrize(
    ("age", "tails", "own", "cleared"),
    [
        (10, [0], 0, True),
        (9, [0], 0, False),
        (10, [1], 0, False),
        (10, [0], MICRO, False),
        (9, [0, 0], 0, True),
        (9, [1, 0, -1, 0], 0, True),
        (9, [0, 1], 0, False),
        (9, [1, 0], 0, False),
        (9, [0, 0], MICRO, False),
    ],
)
def test_an_old_caller_in_no_tail_or_a_new_one_twice_is_not_held_for_its_pools_score(
    age: int, tails: list[int], own: int, *, cleared: bool
) -> None:
    bench, response = Bench(), BucketResponse(stages=((Stage.DEGRADE, 800_000),))
    bench.now += age
    pool = wide(bucket_quota(10), response, partition="p")
    bench.accounts["a"].profile = CallerProfile(
        calls=5, looked=len(tails), tails=tails, last_score=own, scored_at=bench.now
    )
    bench.accounts["p"].profile = Group(members=99, last_score=850_000, scored_at=bench.now)
    charge = msgspec.structs.replace(
        bench.charge(seen(1), pool), calibration=Calibration("p", age=10, calls=5)
    )
    decision = ledger.reserve(bench.accounts, charge, bench.now)
    assert (decision.stage is Stage.NONE) == cleared
    group = bench.accounts["p"].profile
    assert isinstance(group, Group)
    assert group.stages  # it is held all the same


def test_only_callers_who_are_verified_and_old_enough_count_for_calibration() -> None:
    for verified, age in ((True, 10), (False, 10), (True, 9)):
        bench, covered = Bench(), wide(bucket_quota(10))
        bench.now += age
        calibration = Calibration("p", age=10, calls=1)
        charge = msgspec.structs.replace(
            bench.charge(seen(1), covered), calibration=calibration, verified=verified
        )
        assert ledger.reserve(bench.accounts, charge, bench.now).admitted
        group = bench.accounts["p"].profile
        counted = sum(group.peaks) if isinstance(group, Group) else 0
        assert counted == (verified and age == 10)


def test_a_call_that_only_the_score_makes_too_expensive_waits_an_hour() -> None:
    bench, tokens = Bench(), line(quota(Algorithm.SLIDING, 10), 5)
    bench.score(MICRO)
    decision = bench.ask(seen(1), wide(bucket_quota(10), BucketResponse()), tokens)
    assert (decision.verdict, decision.wait) == (Verdict.WAIT, SCORE_RETRY)
    assert decision.violated == ("budget",)
    never = bench.ask(seen(1), wide(bucket_quota(10), BucketResponse()), line(tokens.quota, 11))
    assert (never.verdict, never.wait) == (Verdict.NEVER, 0)


def test_a_full_budget_that_refuses_says_to_wait_until_its_stage_has_ended() -> None:
    response = BucketResponse(stages=((Stage.REFUSE, MICRO),))
    bench, covered = Bench(START - START % 150), wide(bucket_quota(10), response)
    bench.cover(covered, 1)
    bench.now += 20
    bench.cover(covered, 2)
    bench.now += 20
    bench.cover(covered, *range(3, 11))
    # 9 of 10 are left when the first is out of the window: not clearly below, so one more.
    refused = bench.ask(seen(11), covered)
    assert (refused.wait, refused.stage) == (130, Stage.REFUSE)
    bench.now += 129
    assert not bench.ask(seen(11), covered).admitted
    bench.now += 1
    assert bench.ask(seen(11), covered).admitted


# -- Shadow ---------------------------------------------------------------------------------------


@given(
    bucket_quotas(), responses(), histories, st.integers(0, 2 * MICRO), st.integers(0, 45), prices
)
def test_a_shadow_line_of_buckets_changes_no_price_and_no_stage(
    quota_: Quota,
    response: BucketResponse,
    history: list[Step],
    score: int,
    amount: int,
    price: int,
) -> None:
    bench, without = Bench(), Bench()
    tokens = line(quota(Algorithm.SLIDING, 100), amount)
    bench.score(score)
    without.score(score)
    for step in history:
        bench.now += step.pause
        without.now += step.pause
        shadow = wide(quota_, response, step.weight, shadow=True)
        one = bench.ask(step.observation, tokens, shadow, price=price)
        other = without.ask(step.observation, tokens, price=price)
        assert (one.verdict, one.wait, one.price) == (other.verdict, other.wait, price)
        assert (one.stage, one.delay, one.violated) == (Stage.NONE, 0, other.violated)
        assert one.lines[0] == other.lines[0]
        assert (one.shadow_stage is Stage.REFUSE) == (one.shadowed == ("breadth",))
        assert one.shadow_price == response.price(one.lines[1].strain)
        for decision, place in ((one, bench), (other, without)):
            if decision.reservation and step.answered is not None:
                used = amount * step.answered
                amounts = (used,) if place is without else (used, MICRO * step.answered)
                place.settle(decision.reservation, *amounts)


def test_a_shadow_line_left_alone_holds_no_bucket_and_gives_none_back() -> None:
    bench, quota = Bench(), bucket_quota(1, 10_000)
    shadow = wide(quota, shadow=True)
    bench.settle(bench.open(seen(1), shadow), MICRO)
    over = bench.ask(seen(2), shadow)
    assert over.shadowed == ("breadth",)
    assert over.reservation
    assert over.reservation.held == (UNCHARGED,)
    assert (over.lines[0].verdict, over.lines[0].remaining) == (Verdict.WAIT, 0)
    bench.settle(over.reservation, 0)
    assert bench.left(quota) == 0


# -- Profiles -------------------------------------------------------------------------------------


def test_a_call_is_observed_once_when_it_is_admitted_whatever_becomes_of_it() -> None:
    bench, tokens = Bench(), line(quota(Algorithm.SLIDING, 100), 5)
    covered = wide(bucket_quota(10), REFUSING)
    for count, used in enumerate((5, 0, 9), 1):
        reservation = bench.open(seen(count), tokens, covered)
        assert (bench.calls, bench.members) == (count, 1)
        profiles = copy.deepcopy([account.profile for account in bench.accounts.values()])
        ledger.renew(bench.accounts, reservation, HOLD, bench.now)
        for _ in range(2):
            bench.settle(reservation, used, MICRO)
        assert [account.profile for account in bench.accounts.values()] == profiles


def test_accounts_are_profiled_that_have_no_line_of_their_own() -> None:
    bench, tokens = Bench(), line(quota(Algorithm.SLIDING, 100), 5, partition="other")
    bench.accounts["other"] = Account()
    reservation = bench.open(seen(1), tokens)
    assert (bench.calls, bench.members, bench.accounts["other"].profile) == (1, 1, None)
    assert not bench.accounts["a"].open
    assert not bench.accounts["a"].blank
    assert reservation.partitions == ("other",)


def test_the_accounts_concerned_are_those_of_the_lines_and_those_profiled() -> None:
    bench = Bench()
    charge = bench.charge(
        seen(1), wide(bucket_quota(5), partition="org"), wide(bucket_quota(5, name="two"))
    )
    assert charge.partitions == ("org", "a", "p")
    bench.accounts["org"] = Account()
    reservation = ledger.reserve(bench.accounts, charge, bench.now).reservation
    assert reservation
    assert reservation.partitions == ("org", "a")


def test_calls_that_were_refused_enter_no_profile() -> None:
    bench, tokens = Bench(), line(quota(Algorithm.SLIDING, 20, 10**6), 5)
    assert not bench.ask(seen(1), line(tokens.quota, 21)).admitted
    assert (bench.calls, bench.members) == (0, 0)


def test_a_failed_call_is_refunded_and_stays_known() -> None:
    bench, covered = Bench(), wide(bucket_quota(10))
    bench.settle(bench.open(seen(1, 2), covered), 0)
    assert bench.left(covered.quota) == 10 * MICRO
    assert bench.open(seen(1, 2), covered).held == (0,)


def test_an_account_with_buckets_or_a_profile_is_not_blank() -> None:
    bench, covered = Bench(), wide(bucket_quota(10))
    found = [bench.accounts["a"].blank]
    for used in (0, MICRO):
        bench.settle(bench.open(seen(1), covered), used)
        found.append(bench.accounts["a"].blank)
        bench.accounts["a"].profile = None
        found.append(bench.accounts["a"].blank)
    assert found == [True, False, True, False, False]


# -- Books ----------------------------------------------------------------------------------------


@given(bucket_quotas(), responses(), histories)
def test_a_packed_account_behaves_as_the_original(
    quota: Quota, response: BucketResponse, history: list[Step]
) -> None:
    bench = played(quota, response, history)
    packed = bench.books()
    other = copy.deepcopy(bench)
    other.accounts = msgspec.msgpack.decode(packed, type=dict[str, Account])
    assert other.accounts == bench.accounts
    assert other.books() == packed
    for pause in (0, 7, 100):
        for place in (bench, other):
            place.now += pause
        line = wide(quota, response)
        assert bench.ask(seen(1, 2), line) == other.ask(seen(1, 2), line)


def test_accounts_packed_before_there_were_profiles_can_be_read() -> None:
    old = msgspec.msgpack.encode([START, {}, {}])
    assert msgspec.msgpack.decode(old, type=Account) == Account(START)
