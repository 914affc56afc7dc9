from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from querybudget.errors import SetupError
from querybudget.policy.load import load_text
from querybudget.replay.calibrating import Calibrated, calibrate
from querybudget.replay.confidence import needed
from querybudget.replay.proposal import Part, TooFewError, drawn_for, part_of, rounded_up
from querybudget.replay.replaying import Replay, enforced
from querybudget.replay.results import Replayed
from querybudget.testing import FakeAnalyzer
from querybudget.traffic.record import TrafficRecord, TrafficText
from querybudget.units import MICRO, Unit
from tests.replay.records import record, traffic

TENTH = MICRO // 10


def calibrated(log: Sequence[TrafficRecord], share: int = TENTH, **options: Any) -> Calibrated:
    return calibrate(lambda: iter(log), share, **options)


def confirmed(log: Sequence[TrafficRecord], found: Calibrated, **options: Any) -> Replayed:
    return Replay(iter(log), [enforced(load_text(found.text))], **options).run()


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 1_000), st.integers(80, 120), st.sampled_from([TENTH, MICRO // 5]))
def test_a_replay_of_the_same_log_confirms_the_proposal(
    seed: int, callers: int, share: int
) -> None:
    log = list(traffic(seed, callers, 400))
    found = calibrated(log, share)
    upset = confirmed(log, found).policy.callers_disturbed
    assert upset == found.disturbed
    assert upset * MICRO <= share * found.identities


TEXT = """\
version: 1
secret: ${SECRET:-0123456789abcdef} # ours
tiers:
  gold: {when: {source: user}, scale: {pace: 3}}
budgets:
  # The pace of one caller.
  - name: pace
    limit: 1 request/minute # too few
  - {name: burst, limit: "2 requests/10 minutes", window: gcra, burst: 2}
  - {name: all, limit: 5 requests/hour, per: everyone, mode: shadow}
  - {name: month, limit: 10 tokens/month, window: calendar}
"""


def test_a_policy_gets_limits_and_keeps_everything_else() -> None:
    log = list(traffic(3, 100, 400))
    found = calibrated(log, text=TEXT)
    for kept in ("# ours", "# The pace of one caller.", "window: gcra", "per: everyone"):
        assert kept in found.text
    old, new = load_text(TEXT), load_text(found.text)
    for before, after in zip(old.budgets, new.budgets, strict=True):
        assert after.quota.limit > before.quota.limit
        limits = {"limit": 1, "burst": 1}
        assert replace(after.quota, **limits) == replace(before.quota, **limits) or (
            before.quota.bounds is not None
        )
        assert (after.per, after.mode, after.match) == (before.per, before.mode, before.match)
    assert confirmed(log, found).policy.callers_disturbed * MICRO <= TENTH * found.identities


BUCKETS = """\
version: 1
budgets:
  - name: breadth
    limit: 1 buckets/day
    price: {free: 0.5, cap: 4}
    then: {slow: 0.6, refuse: 1}
    mode: enforce
"""


def test_budgets_in_buckets_get_limits_if_the_log_has_texts() -> None:
    log = [
        record(n * 5 + k, f"{n:032x}", texts=(TrafficText(f"topic {n} {k}"),))
        for n in range(80)
        for k in range(1 + n % 4)
    ]
    found = calibrated(log, text=BUCKETS, analyzer=FakeAnalyzer())
    (budget,) = load_text(found.text).budgets
    assert budget.quota.limit > 1 * MICRO
    upset = confirmed(log, found, analyzer=FakeAnalyzer()).policy.callers_disturbed
    assert upset * MICRO <= TENTH * found.identities


def test_without_texts_they_stay_as_they_are() -> None:
    log = list(traffic(1, 80, 100))
    found = calibrated(log, text=f"{BUCKETS}  - {{name: pace, limit: 1 request/hour}}\n")
    assert load_text(found.text).budgets[0] == load_text(BUCKETS).budgets[0]
    assert "breadth" in found.not_calibrated
    with pytest.raises(SetupError, match="has no texts"):
        calibrated(log, text=BUCKETS)


def test_the_usual_budgets_are_those_that_the_log_says_something_about() -> None:
    log = [replace(one, usage=None, duration=0) for one in traffic(2, 80, 100)]
    names = [budget.name for budget in load_text(calibrated(log).text).budgets]
    assert names == ["pace", "day"]


def test_too_few_identities_are_refused_and_how_many_more_are_needed_is_said() -> None:
    with pytest.raises(TooFewError, match=r"0\.1 %") as error:
        calibrated(list(traffic(1, 50, 50)), 1_000)
    enough = drawn_for(needed(0.001))
    assert enough - 60 < error.value.more < enough
    assert enough * 3 // 5 >= needed(0.001)


@pytest.mark.parametrize("missing", [1, 12, 300])
def test_as_many_more_as_it_says_are_enough_in_nearly_all_logs(missing: int) -> None:
    drawn = random.Random(missing)
    logs = [
        [part_of(f"{drawn.getrandbits(128):032x}") for _ in range(drawn_for(missing))]
        for _ in range(200)
    ]
    assert sum(log.count(Part.LIMIT) >= missing for log in logs) >= 0.9 * len(logs)


def test_the_held_out_are_a_fifth_and_always_the_same() -> None:
    parts = [part_of(f"{number:032x}") for number in range(5_000)]
    assert parts == [part_of(f"{number:032x}") for number in range(5_000)]
    assert 900 < parts.count(Part.HELD_OUT) < 1_100
    assert 2_850 < parts.count(Part.LIMIT) < 3_150


@given(st.integers(1, 10**15), st.sampled_from(Unit))
def test_limits_are_rounded_up(amount: int, unit: Unit) -> None:
    limit = rounded_up(amount, unit)
    least = MICRO if unit in {Unit.REQUESTS, Unit.BUCKETS, Unit.CONCURRENT} else 1
    assert amount <= limit <= max(-(-amount // least) * least * 11 // 10, least)


def test_a_limit_that_budgets_share_by_an_alias_is_refused() -> None:
    text = (
        "version: 1\nbudgets:\n  - {name: a, limit: &l 1 request/day}\n  - {name: b, limit: *l}\n"
    )
    with pytest.raises(SetupError, match="write them out"):
        calibrated(
            list(traffic(1, 80, 300)), text=text.replace("name: b", "per: everyone, name: b")
        )
