"""A budget that only suspects spend: it affects nobody else, and refuses on two kinds alone."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget import ledger
from querybudget.coverage import BucketResponse, Reason, Stage, Touched
from querybudget.coverage.calibration import Calibration
from querybudget.coverage.caller import CallerProfile
from querybudget.coverage.fitted import TAIL_SHARES
from querybudget.coverage.group import ALL_TAILS, Group, GroupChange
from querybudget.coverage.observation import KnownGround, Observation
from querybudget.coverage.population import SURE_SCORE, TWO_KINDS_SCORE
from querybudget.coverage.response import DEFAULT_STAGES, SUSPECT_SCORE, Suspects
from querybudget.ledger import Account, Charge, Decision, Line, Standing
from querybudget.testing.contracts.fixtures import seen
from querybudget.units import MICRO
from tests.ledger.strategies import START, bucket_quota

TAILS = len(TAIL_SHARES)
OWN, POOL, NETWORK, NULL = "a", "tier:new", "network:1", "calibration:newcomers"
STAGES = ((Stage.SLOW, SUSPECT_SCORE), (Stage.DEGRADE, SURE_SCORE), (Stage.REFUSE, MICRO))
RESPONSE = BucketResponse(stages=STAGES, suspects=Suspects())
STRONG = tuple(
    Reason(view, share)
    for view, share in (("manner", 500_000), ("wording", 500_000), ("direction", 400_000))
)
"""What a caller is suspect for, even without the first of them."""


def group(in_none: int, in_all: int, score: int = 0) -> Group:
    found = Group()
    for tail, number in ((0, in_none), (TAILS, in_all)):
        for _ in range(number):
            found.add(GroupChange(first=True, look=0, tail=tail), START)
    found.last_score, found.scored_at = score, START
    return found


def member(tail: int, score: int = 0, reasons: tuple[Reason, ...] = ()) -> CallerProfile:
    found = CallerProfile(START, 5, looked=1, tails=[tail])
    found.last_score, found.scored_at, found.reasons = score, START, reasons
    return found


class Bench:
    """A member of a pool in which so many are in no tail, and so many in all of them."""

    def __init__(self, own: CallerProfile, pool: Group, network: Group | None = None) -> None:
        self.accounts = {
            OWN: Account(START, profile=own),
            POOL: Account(START, profile=pool),
            NETWORK: Account(START, profile=network or Group()),
            NULL: Account(START),
        }
        self.count = 0

    def ask(
        self,
        observation: Observation,
        limit: int = 4,
        response: BucketResponse = RESPONSE,
        *,
        shadow: bool = False,
        calibration: Calibration | None = None,
        standing: Standing = Standing.CALLER,
    ) -> Decision:
        self.count += 1
        lines = (
            Line(POOL, bucket_quota(limit, 10**9, "suspects"), MICRO, MICRO, shadow, response),
            Line(NETWORK, bucket_quota(9, 10**9), 0, 0, False, BucketResponse(cap=MICRO), standing),
        )
        profiled = (OWN, POOL, NETWORK, *(calibration.partitions if calibration else ()))
        charge = Charge(
            f"r{self.count}",
            lines,
            200,
            observation=observation,
            profiled=profiled,
            calibration=calibration,
        )
        for partition in charge.partitions:
            self.accounts.setdefault(partition, Account(START))
        return ledger.reserve(self.accounts, charge, START)

    def held(self, cell: int) -> int:
        reservation = self.ask(seen(cell)).reservation
        assert reservation
        return reservation.held[0]


def test_a_member_that_is_not_touched_spends_nothing_and_nothing_follows() -> None:
    bench = Bench(member(0), group(40, 60))
    for cell in range(12):
        decision = bench.ask(seen(cell))
        assert decision.reservation
        assert (decision.reservation.held[0], decision.price) == (0, MICRO)
        assert (decision.stage, decision.touched, decision.lines[0].strain) == (Stage.NONE, {}, 0)


def test_a_budget_that_suspects_have_spent_is_nothing_to_others() -> None:
    bench = Bench(member(TAILS), group(60, 40))
    assert [bench.held(cell) for cell in range(6)] == [MICRO] * 4 + [0, 0]
    bench.accounts[OWN] = Account(START, profile=member(0))
    decision = bench.ask(seen(9))
    assert (decision.admitted, decision.stage, decision.price) == (True, Stage.NONE, MICRO)


def test_touched_members_are_slowed_and_degraded_once_their_budget_is_spent() -> None:
    bench = Bench(member(2), group(60, 40))
    bench.accounts[POOL].profile = pool = group(60, 0)
    for _ in range(44):
        pool.add(GroupChange(first=True, look=0, tail=2), START)
    stages = [bench.ask(seen(cell), 4).stage for cell in range(6)]
    assert stages[0] is Stage.SLOW
    assert stages[-1] is Stage.DEGRADE
    assert Stage.REFUSE not in stages
    known = bench.ask(seen(0), 4)
    assert known.admitted


def test_a_call_that_needs_more_than_is_left_takes_what_is_left() -> None:
    bench = Bench(member(TAILS), group(60, 40))
    decision = bench.ask(seen(1, 2, 3), 2)
    assert decision.reservation
    assert decision.reservation.held[0] == 2 * MICRO
    assert decision.stage is Stage.DEGRADE


def test_it_says_that_the_population_is_why_and_how_many_there_are() -> None:
    decision = Bench(member(TAILS), group(60, 40)).ask(seen(1))
    assert decision.reasons == (Reason("population", decision.touched["suspects"].score),)
    found = decision.touched["suspects"]
    assert (found.expected, found.observed) == (3, 40)
    assert decision.scores == {}


def test_a_member_keeps_its_own_stage_and_its_pool_none() -> None:
    bench = Bench(member(TAILS), group(60, 40))
    bench.ask(seen(1))
    own, pool = bench.accounts[OWN].profile, bench.accounts[POOL].profile
    assert own
    assert pool
    assert own.stages == {"sliding:suspects": bench.ask(seen(1)).stage}
    assert pool.stages == {}


def test_in_shadow_it_says_what_it_would_do() -> None:
    decision = Bench(member(TAILS), group(60, 40)).ask(seen(1), shadow=True)
    assert (decision.stage, decision.price) == (Stage.NONE, MICRO)
    assert decision.shadow_stage is not Stage.NONE


def test_two_kinds_of_evidence_refuse() -> None:
    decision = Bench(member(TAILS), group(6, 94), group(0, 0, SUSPECT_SCORE)).ask(seen(1), 400)
    assert (decision.admitted, decision.stage) == (False, Stage.REFUSE)
    assert decision.touched["suspects"].score == TWO_KINDS_SCORE


@pytest.mark.parametrize("standing", [Standing.FIXED, Standing.INVENTED])
@pytest.mark.parametrize("score", [0, 900_000])
def test_what_a_member_shows_and_what_calls_say_are_no_other_kind(
    standing: Standing, score: int
) -> None:
    bench = Bench(member(TAILS, score, STRONG), group(6, 94), group(0, 0, MICRO))
    decision = bench.ask(seen(1), 400, standing=standing)
    assert (decision.admitted, decision.stage) == (True, Stage.DEGRADE)


groups = st.builds(group, st.integers(0, 60), st.integers(0, 60))
scores = st.sampled_from((0, SUSPECT_SCORE - 1, SUSPECT_SCORE, 900_000))
members = st.builds(
    member,
    st.integers(0, TAILS),
    scores,
    st.sampled_from(((), STRONG, STRONG[:1], (Reason("manner", 900_000), *STRONG[1:2]))),
)
limits = st.integers(1, 3)


@given(members, groups, st.builds(group, st.just(5), st.just(5), scores), limits, st.data())
def test_nobody_is_refused_without_two_kinds_of_evidence(
    own: CallerProfile, pool: Group, network: Group, limit: int, data: st.DataObject
) -> None:
    starts = data.draw(st.sampled_from((STAGES, DEFAULT_STAGES, STAGES[1:], STAGES[2:])))
    bench = Bench(msgspec.convert(own, CallerProfile, from_attributes=True), pool, network)
    response = BucketResponse(stages=starts, suspects=Suspects())
    for cell in range(4):
        profile = bench.accounts[OWN].profile
        assert isinstance(profile, CallerProfile)
        kinds = network.score(START) >= SUSPECT_SCORE
        decision = bench.ask(seen(cell), limit, response)
        if decision.stage is Stage.REFUSE or not decision.admitted:
            assert kinds
            assert decision.touched["suspects"].score == TWO_KINDS_SCORE


def test_established_callers_of_the_deployment_decide_what_is_honest() -> None:
    bench = Bench(member(2), group(0, 0))
    bench.accounts[POOL].profile = pool = group(55, 0)
    for _ in range(45):
        pool.add(GroupChange(first=True, look=0, tail=2), START)
    calibration = Calibration("calibration:tier:default", callers=200, newcomers=NULL)
    assert bench.ask(seen(1), calibration=calibration).touched
    learnt = Group()
    for tail in [0] * 180 + [2] * 20:
        learnt.add(GroupChange(established=(tail,)), START)
    bench.accounts[NULL].profile = learnt
    assert not bench.ask(seen(2), calibration=calibration).touched


def test_a_caller_that_becomes_established_says_once_what_it_showed_when_new() -> None:
    calibration = Calibration("calibration:tier:default", age=0, calls=6, newcomers=NULL)
    bench = Bench(member(1), group(60, 40))
    for cell in range(5):
        bench.ask(seen(cell), calibration=calibration)
    profile = bench.accounts[NULL].profile
    assert isinstance(profile, Group)
    assert profile.null[:3] == [1, 1, 0]
    assert len(profile.null) == len(ALL_TAILS) * (TAILS + 1)


def test_whoever_the_test_touches_does_not_calibrate_until_it_no_longer_does() -> None:
    calibration = Calibration("calibration:tier:default", age=0, calls=6, newcomers=NULL)
    bench = Bench(member(TAILS, SUSPECT_SCORE), group(60, 40))
    for cell in range(5):
        assert bench.ask(seen(cell), calibration=calibration).touched
    old, null = bench.accounts[calibration.partition].profile, bench.accounts[NULL].profile
    assert old is None
    assert null is None
    bench.accounts[POOL].profile = group(4000, 40)
    assert not bench.ask(seen(6), calibration=calibration).touched
    old = bench.accounts[calibration.partition].profile
    assert isinstance(old, Group)
    assert sum(old.peaks) == 1


def test_a_logged_call_is_decided_as_the_log_says() -> None:
    bench = Bench(member(0), group(60, 0))
    known = KnownGround(2, {}, {"suspects": Touched(SURE_SCORE, 3, 40)})
    decision = bench.ask(Observation(known=known))
    assert decision.reservation
    assert decision.reservation.held[0] == 2 * MICRO
    assert decision.touched == known.touched
    assert not bench.ask(Observation(known=KnownGround(2))).touched
