from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import ceil

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from querybudget import ledger
from querybudget.coverage import BucketResponse, Observation, Profile, Stage
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
from querybudget.ledger.coverage import SCORE_RETRY
from querybudget.units import MICRO, SECOND, Algorithm, Millionths, Quota
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


def cells(*found: int) -> Observation:
    return Observation(found)


class Bench:
    """Accounts "a" and "p", and a clock."""

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

    def observation(self, line: Line, *found: int) -> Decision:
        """One call after another, each of one bucket."""
        for cell in found:
            decision = self.ask(cells(cell), line)
            assert decision.reservation, decision
            self.settle(decision.reservation, MICRO)
        return self.ask(Observation(), line)

    def left(self, quota: Quota) -> int:
        return ledger.peek(self.accounts["a"], (quota,), self.now)[0][0]

    def score(self, score: int) -> None:
        self.accounts["a"].profile = Profile(last_score=score, scored_at=self.now)

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
def test_no_window_ever_holds_more_distinct_buckets_than_the_limit(
    quota: Quota, history: list[Step]
) -> None:
    bench = Bench()
    seen: list[tuple[int, int]] = []
    for step in history:
        bench.now += step.pause
        if bench.ask(step.observation, wide(quota)).admitted:
            seen += [(cell, bench.now) for cell in step.observation.cells]
        within = {cell for cell, at in seen if at > bench.now - quota.window}
        assert len(within) * MICRO <= quota.limit


def test_the_limit_is_admitted_and_not_one_bucket_more() -> None:
    bench, line = Bench(), wide(bucket_quota(5))
    assert [bench.ask(cells(cell), line).admitted for cell in range(7)] == [True] * 5 + [False] * 2


def test_parallel_calls_cannot_pass_the_limit_together_and_failed_ones_make_room() -> None:
    bench, line = Bench(), wide(bucket_quota(2))
    first = bench.open(cells(1), line)
    bench.open(cells(2), line)
    assert not bench.ask(cells(3), line).admitted
    bench.settle(first, 0)
    assert bench.ask(cells(3), line).admitted


def test_a_call_that_visits_nothing_new_fits_a_full_budget() -> None:
    for response in (None, FREE, REFUSING):
        bench, line = Bench(), wide(bucket_quota(3), response)
        bench.observation(line, 1, 2, 3)
        assert bench.ask(cells(1, 3), line).admitted
        assert bench.ask(Observation(), line).admitted
        refused = bench.ask(cells(1, 4), line)
        assert (refused.verdict, refused.stage) == (Verdict.WAIT, Stage.REFUSE)
        assert refused.violated == ("breadth",)


def test_a_call_with_more_buckets_than_the_limit_never_fits() -> None:
    bench, line = Bench(), wide(bucket_quota(2))
    decision = bench.ask(cells(1, 2, 3), line)
    assert (decision.verdict, decision.wait) == (Verdict.NEVER, 0)
    assert bench.ask(cells(1, 2), line).admitted


def test_each_new_bucket_counts_for_what_it_weighs() -> None:
    bench, quota = Bench(), bucket_quota(10)
    reservation = bench.open(cells(1, 2), wide(quota, weight=3 * MICRO))
    assert reservation.held == (6 * MICRO,)
    bench.settle(reservation, MICRO)
    assert bench.open(cells(1, 3), wide(quota)).held == (MICRO,)
    assert bench.left(quota) == 3 * MICRO


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
    bench.observation(covered, 1, 2, 3)
    decision = bench.ask(cells(1), covered, line(quota_of_ten, 5))
    assert (decision.verdict, decision.price) == (Verdict.WAIT, 5_623_413)
    bench.now += decision.wait - 1
    assert not bench.ask(cells(1), covered, line(quota_of_ten, 5)).admitted
    bench.now += 1
    assert bench.ask(cells(1), covered, line(quota_of_ten, 5)).admitted


@given(st.integers(1, 500), st.integers(1, 3 * MICRO))
def test_a_scaled_limit_is_a_whole_number_of_buckets_and_at_least_one(
    limit: int, factor: int
) -> None:
    scaled = bucket_quota(limit).scaled(factor)
    assert scaled.limit == max(1, limit * factor // MICRO) * MICRO
    assert scaled.key == bucket_quota(limit).key


# -- Settling -------------------------------------------------------------------------------------


def test_a_call_that_is_never_settled_has_visited_its_buckets() -> None:
    bench, quota = Bench(), bucket_quota(5)
    reservation = bench.open(cells(1), wide(quota))
    bench.now += HOLD
    assert bench.left(quota) == 5 * MICRO  # a window of 150 µs has passed
    wider = bucket_quota(5, 10_000)
    reservation = bench.open(cells(2), wide(wider))
    bench.now += HOLD
    assert bench.settle(reservation, 0) is Settled.LATE
    assert bench.left(wider) == 4 * MICRO


def test_settling_again_changes_nothing() -> None:
    bench, quota = Bench(), bucket_quota(5, 10_000)
    done, failed = bench.open(cells(1), wide(quota)), bench.open(cells(2), wide(quota))
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
    bench = played(quota, response, [Step(0, Observation(), MICRO, answered=False), *history])
    bench.score(score)
    bench.left(quota)  # what time alone does
    books = bench.books()
    if not bench.ask(observation, wide(quota, response)).admitted:
        assert bench.books() == books
    full = line(Quota("none", quota.unit, 1, 100, Algorithm.SLIDING, 1), 5, partition="p")
    bench.left(quota)
    stranger = Bench(bench.now)
    assert not stranger.ask(observation, wide(quota, response), full).admitted
    assert stranger.left(quota) == quota.limit


@given(quotas(), st.lists(st.tuples(st.integers(0, 60), st.integers(0, 45)), max_size=12), prices)
def test_a_call_that_shows_something_is_charged_like_any_other_on_other_lines(
    quota: Quota, calls: list[tuple[int, int]], price: int
) -> None:
    plain, seen = Bench(), Bench()
    for pause, amount in calls:
        decisions = []
        for bench, observation in ((plain, None), (seen, cells(1))):
            bench.now += pause
            decision = bench.ask(observation, line(quota, amount, amount // 2), price=price)
            if decision.reservation:
                bench.settle(decision.reservation, amount)
            held = decision.reservation and decision.reservation.held
            decisions.append(
                (decision.verdict, decision.wait, decision.price, decision.lines, held)
            )
        assert decisions[0] == decisions[1]
    assert plain.accounts["a"].windows == seen.accounts["a"].windows


# -- Price ----------------------------------------------------------------------------------------


@given(st.integers(0, 10), st.integers(0, 10**6), st.integers(0, 10**6), prices)
def test_the_price_scales_all_but_leases_and_buckets_and_is_kept_for_the_overshoot(
    visited: int, amount: int, used: int, price: int
) -> None:
    bench, response = Bench(), BucketResponse()
    tokens, slots = quota(Algorithm.SLIDING, 2**60), quota(Algorithm.LEASE, 5, name="slots")
    covered = wide(bucket_quota(20), response)
    bench.observation(covered, *range(visited, 2 * visited + visited % 2))
    share = (20 * MICRO - bench.left(covered.quota)) // 20
    total = ceil(Fraction(price * response.price(share), MICRO))
    lines = line(tokens, amount), line(slots), covered
    decision = bench.ask(cells(99), *lines, price=price)
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
    reservation = bench.open(Observation(tuple(range(9))), cheap, dear)
    bench.settle(reservation, MICRO, MICRO)
    decision = bench.ask(Observation(), cheap, dear)
    assert decision.price == BucketResponse().price(900_000)
    assert [status.strain for status in decision.lines] == [90_000, 900_000]


def test_a_call_does_not_pay_for_what_it_visits_itself() -> None:
    bench = Bench()
    covered = wide(bucket_quota(4), BucketResponse(free=0))
    assert bench.ask(cells(1, 2, 3), covered).price == MICRO
    assert bench.ask(Observation(), covered).price > MICRO


def test_a_line_without_a_response_only_counts() -> None:
    bench, covered = Bench(), wide(bucket_quota(4))
    bench.score(MICRO)
    decision = bench.observation(covered, 1, 2, 3, 4)
    assert (decision.price, decision.stage, decision.delay) == (MICRO, Stage.NONE, 0)
    assert decision.lines[0].strain == MICRO


# -- Stages ---------------------------------------------------------------------------------------


def test_each_stage_begins_at_its_strain_and_slows_longer_with_more() -> None:
    bench, covered = Bench(), wide(bucket_quota(20, 10_000), REFUSING)
    decisions = [bench.observation(covered, cell) for cell in range(19)]
    found = [decision.stage for decision in decisions]
    assert found == [Stage.NONE] * 13 + [Stage.SLOW] * 3 + [Stage.DEGRADE] * 3
    delays = [decision.delay for decision in decisions]
    assert delays == sorted(delays)
    assert delays[13] == REFUSING.delay // 4
    assert delays[18] < REFUSING.delay


@given(
    st.sampled_from((Stage.SLOW, Stage.DEGRADE, Stage.REFUSE)),
    st.integers(2 * HYSTERESIS, MICRO),
    st.lists(st.integers(-HYSTERESIS, HYSTERESIS - 1), min_size=1, max_size=30),
)
def test_a_score_that_wanders_within_the_ease_changes_the_stage_at_most_once(
    stage: Stage, begin: int, wandering: list[int]
) -> None:
    bench, covered = Bench(), wide(bucket_quota(5), BucketResponse(stages=((stage, begin),)))
    running = [bench.open(Observation(), covered) for _ in wandering]
    found = []
    for drift, reservation in zip(wandering, running, strict=True):
        bench.score(begin + drift)  # which is what the call that ends now brings it to
        bench.settle(reservation, MICRO)
        found.append(bench.ask(Observation(), covered).stage)
    assert sum(one is not after for one, after in pairwise(found)) <= 1


@given(st.lists(st.sampled_from((7, 8)), min_size=1, max_size=20))
def test_a_share_that_wanders_within_the_ease_changes_the_stage_at_most_once(
    wandering: list[int],
) -> None:
    bench, covered = (
        Bench(),
        wide(bucket_quota(10, 10_000), BucketResponse(stages=((Stage.SLOW, 800_000),))),
    )
    bench.observation(covered, *range(7))
    found = []
    for visited in wandering:
        more = bench.open(cells(7), covered) if visited == 8 else None
        found.append(bench.ask(Observation(), covered).stage)
        if more:
            bench.settle(more, 0)
    assert sum(one is not after for one, after in pairwise(found)) <= 1


def test_a_stage_that_a_settled_call_begins_is_recorded_without_another_call() -> None:
    """All visited falls out of the window but what the last call had: still within the ease."""
    response = BucketResponse(stages=((Stage.SLOW, MICRO),), scored=False)
    bench, covered = Bench(START - START % 150), wide(bucket_quota(10), response)
    bench.observation(covered, 1)
    bench.now += 20
    bench.observation(covered, *range(2, 10))
    bench.settle(bench.open(cells(10), covered), MICRO)
    bench.now += 140
    decision = bench.ask(Observation(), covered)
    assert (decision.lines[0].strain, decision.stage) == (900_000, Stage.SLOW)


def test_a_score_refuses_at_its_stage_whatever_is_visited_and_says_to_retry_in_an_hour() -> None:
    bench, covered = Bench(), wide(bucket_quota(10), REFUSING)
    bench.score(MICRO)
    decision = bench.ask(cells(1), covered)
    assert (decision.verdict, decision.wait) == (Verdict.WAIT, SCORE_RETRY)
    assert (decision.stage, decision.delay, decision.violated) == (Stage.REFUSE, 0, ("breadth",))
    assert not bench.ask(Observation(), covered).admitted
    bench.score(MICRO - 1)
    assert bench.ask(Observation(), covered).stage is Stage.DEGRADE


def test_a_stage_that_the_score_brought_about_has_its_reasons() -> None:
    bench, covered = Bench(), wide(bucket_quota(10), REFUSING)
    profile = bench.accounts["a"].profile = Profile()
    for number in range(20):
        profile.observe(msgspec.structs.replace(SHOWN, ask=number), bench.now)
    assert bench.ask(cells(1), covered).reasons == ()
    profile.last_score, profile.scored_at = 900_000, bench.now
    decision = bench.ask(cells(1), covered)
    assert (decision.stage, decision.reasons) == (Stage.DEGRADE, profile.reasons)
    assert {reason.signal for reason in decision.reasons} >= {"coverage", "manner"}


def test_a_stage_that_buckets_alone_brought_about_has_no_reasons_of_a_score() -> None:
    bench, covered = Bench(), wide(bucket_quota(10), REFUSING)
    decision = bench.observation(covered, *range(9))
    assert (decision.stage, decision.reasons) == (Stage.DEGRADE, ())


def test_a_call_let_in_and_rejected_is_not_seen() -> None:
    bench, tokens = Bench(), line(quota(Algorithm.SLIDING, 100), 5)
    reservation = bench.open(SHOWN, wide(bucket_quota(10)), tokens)
    bench.settle(reservation, 0, 5)
    assert queries(bench) == 0


def test_a_score_that_does_not_count_is_no_strain() -> None:
    bench = Bench()
    covered = wide(bucket_quota(10), BucketResponse(stages=DEFAULT_STAGES, scored=False))
    bench.score(MICRO)
    decision = bench.ask(cells(1), covered)
    assert (decision.admitted, decision.lines[0].strain) == (True, 0)


def test_the_score_of_a_pool_is_strain_on_the_pools_own_lines_only() -> None:
    bench, response = Bench(), BucketResponse(stages=DEFAULT_STAGES)
    bench.score(750_000)
    pool = wide(bucket_quota(10), response, partition="p")
    assert bench.ask(cells(1), pool).stage is Stage.NONE
    bench.accounts["p"].profile = Profile(last_score=850_000, scored_at=bench.now)
    assert bench.ask(cells(1), pool).stage is Stage.DEGRADE


def test_a_call_that_only_the_score_makes_too_expensive_waits_an_hour() -> None:
    bench, tokens = Bench(), line(quota(Algorithm.SLIDING, 10), 5)
    bench.score(MICRO)
    decision = bench.ask(cells(1), wide(bucket_quota(10), BucketResponse()), tokens)
    assert (decision.verdict, decision.wait) == (Verdict.WAIT, SCORE_RETRY)
    assert decision.violated == ("budget",)
    never = bench.ask(cells(1), wide(bucket_quota(10), BucketResponse()), line(tokens.quota, 11))
    assert (never.verdict, never.wait) == (Verdict.NEVER, 0)


def test_a_full_budget_that_refuses_says_to_wait_until_its_stage_has_ended() -> None:
    response = BucketResponse(stages=((Stage.REFUSE, MICRO),))
    bench, covered = Bench(START - START % 150), wide(bucket_quota(10), response)
    bench.observation(covered, 1)
    bench.now += 20
    bench.observation(covered, 2)
    bench.now += 20
    bench.observation(covered, *range(3, 11))
    # 9 of 10 are left when the first is out of the window: not clearly below, so one more.
    refused = bench.ask(cells(11), covered)
    assert (refused.wait, refused.stage) == (139, Stage.REFUSE)
    bench.now += 138
    assert not bench.ask(cells(11), covered).admitted
    bench.now += 1
    assert bench.ask(cells(11), covered).admitted


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
    bench.settle(bench.open(cells(1), shadow), MICRO)
    over = bench.ask(cells(2), shadow)
    assert over.shadowed == ("breadth",)
    assert over.reservation
    assert over.reservation.held == (UNCHARGED,)
    assert (over.lines[0].verdict, over.lines[0].remaining) == (Verdict.WAIT, 0)
    bench.settle(over.reservation, 0)
    assert bench.left(quota) == 0


# -- Profiles -------------------------------------------------------------------------------------


def queries(bench: Bench, name: str = "a") -> int:
    profile = bench.accounts[name].profile
    return profile.queries if profile else 0


SHOWN = Observation((7,), 1, bytes(32), b"", (), 5, 9)


def test_an_answered_call_enters_its_identitys_profile_once_and_adds_a_delta_to_its_pools() -> None:
    bench, tokens = Bench(), line(quota(Algorithm.SLIDING, 100), 5)
    covered = wide(bucket_quota(10), REFUSING)
    for count in range(1, 4):
        reservation = bench.open(SHOWN, tokens, covered)
        assert queries(bench) == count - 1
        for _ in range(2):
            bench.settle(reservation, 5, MICRO)
        assert (queries(bench), queries(bench, "p")) == (count, count)


def test_accounts_take_part_that_have_no_line_of_their_own() -> None:
    bench, tokens = Bench(), line(quota(Algorithm.SLIDING, 100), 5, partition="other")
    bench.accounts["other"] = Account()
    bench.settle(bench.open(SHOWN, tokens), 5)
    assert (queries(bench), queries(bench, "p"), queries(bench, "other")) == (1, 1, 0)
    assert not bench.accounts["a"].open
    assert not bench.accounts["a"].blank


def test_the_accounts_concerned_are_those_of_the_lines_and_those_profiled() -> None:
    bench = Bench()
    charge = bench.charge(
        SHOWN, wide(bucket_quota(5), partition="org"), wide(bucket_quota(5, name="two"))
    )
    assert charge.partitions == ("org", "a", "p")
    bench.accounts["org"] = Account()
    reservation = ledger.reserve(bench.accounts, charge, bench.now).reservation
    assert reservation
    assert reservation.partitions == ("org", "a", "p")


def test_calls_that_failed_expired_or_were_refused_enter_no_profile() -> None:
    bench, tokens = Bench(), line(quota(Algorithm.SLIDING, 20, 10**6), 5)
    bench.settle(bench.open(SHOWN, tokens), 0)
    late = bench.open(SHOWN, tokens)
    bench.open(SHOWN, tokens)
    bench.now += HOLD
    assert bench.settle(late, 5) is Settled.LATE
    assert not bench.ask(SHOWN, line(tokens.quota, 21)).admitted
    assert (queries(bench), queries(bench, "p")) == (0, 0)


def test_an_identity_that_was_forgotten_meanwhile_adds_nothing_to_its_pools() -> None:
    bench, tokens = Bench(), line(quota(Algorithm.SLIDING, 100), 5, partition="p")
    reservation = bench.open(SHOWN, tokens)
    del bench.accounts["a"]
    assert bench.settle(reservation, 5) is Settled.DONE
    assert queries(bench, "p") == 0
    reservation = Bench.open(bench_without_pool := Bench(), SHOWN, line(tokens.quota, 5))
    del bench_without_pool.accounts["p"]
    bench_without_pool.settle(reservation, 5)
    assert queries(bench_without_pool) == 1


def test_an_account_with_buckets_or_a_profile_is_not_blank() -> None:
    bench, covered = Bench(), wide(bucket_quota(10))
    found = []
    for observation, used in ((cells(1), 0), (cells(1), MICRO), (SHOWN, MICRO)):
        bench.settle(bench.open(observation, covered), used)
        found.append(bench.accounts["a"].blank)
        bench.now += 1_000
        bench.left(covered.quota)
        found.append(bench.accounts["a"].blank)
    assert found == [True, True, False, True, False, False]


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
        assert bench.ask(cells(1, 2), line) == other.ask(cells(1, 2), line)


def test_accounts_packed_before_there_were_profiles_can_be_read() -> None:
    old = msgspec.msgpack.encode([START, {}, {}])
    assert msgspec.msgpack.decode(old, type=Account) == Account(START)


def test_400_buckets_pack_into_less_than_a_kilobyte() -> None:
    month = bucket_quota(400, 30 * 86_400 * SECOND)
    bench = Bench()
    bench.observation(wide(month, REFUSING), *range(0, 4_000, 10))
    account = bench.accounts["a"]
    assert len(msgspec.msgpack.encode(account)) < 1_024
