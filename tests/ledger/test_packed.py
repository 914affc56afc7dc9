"""What the ledger promises about calls that pack much: they are decided with what they bring."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget import ledger
from querybudget.coverage import BucketResponse, KnownGround, Observation, Reason, Stage
from querybudget.coverage.calibration import BINS, Calibration
from querybudget.coverage.caller import CallerProfile
from querybudget.coverage.group import Group
from querybudget.coverage.observation import FINE
from querybudget.coverage.response import DEFAULT_STAGES
from querybudget.ledger import Account, Charge, Decision, Line, Verdict
from querybudget.ledger.bucket_line import SCORE_RETRY
from querybudget.ledger.coverage import evaluate
from querybudget.ledger.packed import PACKED
from querybudget.testing.contracts.profiles import SWEEP, packed, swept
from querybudget.units import MICRO, Algorithm, Unit
from tests.ledger.play import line
from tests.ledger.strategies import START, bucket_quota, quota


def bringing(*numbers: int) -> Observation:
    """Return a call that packs these calls of a sweep."""
    said = tuple(swept(number).said[0] for number in numbers)
    return Observation(said=said, items=tuple(range(len(said))))


def covered(response: BucketResponse | None = None, **more: object) -> Line:
    """Return a line of a caller whose strain is its score alone."""
    partition, shadow = str(more.get("partition", "a")), bool(more.get("shadow", False))
    response = response or BucketResponse()
    return Line(partition, bucket_quota(FINE), 1, 1, shadow, response)


def refusing(score: int) -> BucketResponse:
    return BucketResponse(stages=((Stage.REFUSE, score),))


def charge(seen: Observation, *lines: Line, **more: object) -> Charge:
    known = {"profiled": ("a", "p"), **more}
    return msgspec.structs.replace(Charge("r", lines, 200, observation=seen), **known)


def opened(profile: CallerProfile | None = None) -> dict[str, Account]:
    return {"a": Account(START, profile=profile), "p": Account(START)}


def ask(
    accounts: Mapping[str, Account], seen: Observation, *lines: Line, **more: object
) -> Decision:
    return ledger.reserve(accounts, charge(seen, *lines, **more), START)


def kept(accounts: Mapping[str, Account]) -> bytes:
    return msgspec.msgpack.encode({name: one.profile for name, one in accounts.items()})


def score_after(*calls: Observation) -> int:
    profile = CallerProfile()
    for seen in calls:
        profile.observe(seen, START)
    return profile.score(START)


@given(st.lists(st.integers(0, 80)), st.lists(st.integers(0, 80), min_size=1), st.booleans())
def test_a_call_that_packs_much_is_decided_by_the_score_that_its_caller_has_after_it(
    before: list[int], call: list[int], verified: bool
) -> None:
    profile = CallerProfile()
    for number in before:
        profile.observe(swept(number), START)
    accounts, old, new = opened(profile), profile.score(START), profile.novelty(bringing(*call))
    decision = ask(accounts, bringing(*call), covered(), verified=verified)
    after = accounts["a"].profile
    assert after
    assert decision.lines[0].strain == (after.score(START) if new >= PACKED else old)


@given(st.lists(st.integers(0, 80)), st.lists(st.integers(0, 80), min_size=1))
def test_to_decide_a_call_changes_no_profile(before: list[int], call: list[int]) -> None:
    profile = CallerProfile()
    for number in before:
        profile.observe(swept(number), START)
    accounts = opened(profile)
    was = kept(accounts)
    evaluate(accounts, charge(bringing(*call), covered()), START)
    assert kept(accounts) == was


def test_calls_that_pack_little_are_decided_by_what_was_before() -> None:
    accounts, few = opened(), PACKED - 1
    decisions = [
        ask(accounts, bringing(*range(begin, begin + few)), covered(refusing(1)))
        for begin in range(0, 6 * few, few)
    ]
    assert [one.admitted for one in decisions] == [True] * 5 + [False]  # after the first look
    assert [one.lines[0].strain > 0 for one in decisions] == [False] * 5 + [True]


def test_a_refusal_for_what_a_call_packs_leaves_its_caller_as_it_was() -> None:
    for profile in (None, CallerProfile()):
        accounts = opened(profile)
        was = kept(accounts)
        refused = ask(accounts, packed(SWEEP), covered(refusing(1)))
        assert (refused.admitted, refused.stage) == (False, Stage.REFUSE)
        assert kept(accounts) == was
        assert ask(accounts, swept(0), covered(refusing(1))).stage is Stage.NONE


def test_no_wait_helps_a_call_that_is_refused_for_what_it_packs() -> None:
    refused = ask(opened(), packed(SWEEP), covered(refusing(1)))
    assert (refused.verdict, refused.wait) == (Verdict.NEVER, 0)


def test_a_caller_who_is_refused_anyway_is_told_to_come_back_whatever_the_call_packs() -> None:
    profile = CallerProfile(calls=1, last_score=5, scored_at=START)
    refused = ask(opened(profile), packed(SWEEP), covered(refusing(5)))
    assert (refused.verdict, refused.wait) == (Verdict.WAIT, SCORE_RETRY)


def test_what_a_call_packs_makes_it_dear_and_no_wait_helps_that() -> None:
    response = BucketResponse(free=0)
    price, tokens = response.price(score_after(packed(SWEEP))), quota(Algorithm.SLIDING, 10)
    assert price > 2 * MICRO
    decision = ask(opened(), packed(SWEEP), covered(response), line(tokens, 5))
    assert (decision.price, decision.violated) == (price, ("budget",))
    assert (decision.verdict, decision.wait) == (Verdict.NEVER, 0)


def test_a_stage_for_what_a_call_packs_has_the_reasons_of_that() -> None:
    accounts = opened(CallerProfile(reasons=(Reason("manner", 1),)))
    decision = ask(accounts, packed(SWEEP), covered(BucketResponse(stages=((Stage.SLOW, 1),))))
    after = accounts["a"].profile
    assert after
    assert decision.reasons == after.reasons != (Reason("manner", 1),)
    assert decision.scores == {"a": after.score(START)}


def test_calibration_moves_the_score_of_a_call_that_packs_much() -> None:
    accounts, calibration = opened(), Calibration("p", callers=1)
    accounts["p"].profile = Group(peaks=[5] + [0] * (BINS - 1))
    decision = ask(accounts, packed(SWEEP), covered(), calibration=calibration)
    assert decision.shift
    assert decision.lines[0].strain == score_after(packed(SWEEP)) + decision.shift


def test_a_shadow_line_says_what_it_would_do_to_a_call_that_packs_much() -> None:
    accounts = opened()
    decision = ask(accounts, packed(SWEEP), covered(refusing(1), shadow=True))
    assert (decision.admitted, decision.stage) == (True, Stage.NONE)
    assert decision.shadow_stage is Stage.REFUSE
    after = accounts["a"].profile
    assert after
    assert after.score(START) == score_after(packed(SWEEP))


def test_a_replayed_call_is_decided_by_the_score_that_was_logged() -> None:
    for scores in ({}, {"a": 700_000}):
        seen = msgspec.structs.replace(packed(SWEEP), known=KnownGround(SWEEP, scores))
        assert ask(opened(), seen, covered()).lines[0].strain == scores.get("a", 0)


def test_what_a_call_packs_says_nothing_of_its_callers_pools() -> None:
    accounts = opened()
    decision = ask(accounts, packed(SWEEP), covered(refusing(1), partition="p"))
    assert (decision.admitted, decision.lines[0].strain) == (True, 0)


@pytest.mark.parametrize("response", [None, BucketResponse(scored=False, stages=DEFAULT_STAGES)])
def test_a_budget_without_a_score_asks_for_none(response: BucketResponse | None) -> None:
    only = msgspec.structs.replace(covered(), response=response)
    decision = ask(opened(), packed(SWEEP), only)
    assert (decision.admitted, decision.stage, decision.lines[0].strain) == (True, Stage.NONE, 0)
    assert only.quota.unit is Unit.BUCKETS
