from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from querybudget.adapters.base import Usage
from querybudget.policy.model import Policy
from querybudget.replay.replaying import Replay, enforced
from querybudget.replay.results import Count, Difference, Happening, Replayed
from querybudget.replay.tables import lines_of
from querybudget.testing import FakeAnalyzer
from querybudget.traffic import Problem, TrafficRecord, TrafficText
from tests.replay.records import START, policy, record

PACE = "{name: pace, limit: 2 requests/minute}"


def replayed(items: Any, *policies: Policy, **options: Any) -> Replayed:
    return Replay(items, policies, **options).run()


def count(found: Replayed, what: Happening, budget: str = "") -> Count:
    counts = found.policy.budgets if budget else found.policy.totals
    return next(
        (one for one in counts if one.what is what and one.budget == budget), Count(what=what)
    )


def test_a_budget_refuses_as_it_would_have() -> None:
    found = replayed([record(second) for second in (0, 1, 2, 3, 61)], policy(PACE))
    refused = count(found, Happening.REFUSED, "pace")
    assert (refused.calls, refused.callers) == (2, 1)
    assert (refused.first, refused.last) == (START + 2_000_000, START + 3_000_000)
    assert (refused.share, refused.callers_share) == (40, 100)
    assert [(one.identity, one.calls) for one in refused.most] == [("a", 2)]
    assert (found.policy.calls, found.policy.callers, found.policy.disturbed) == (5, 1, 2)


def test_a_call_is_settled_when_it_ended_with_what_it_used() -> None:
    tokens = policy("{name: day, limit: 1000 tokens/day}")
    small = [record(0, usage=Usage(100, 0, 0, 100), duration=5_000_000)]
    # What is held for a call whose end is not known is the estimate, of 512 tokens and its prompt.
    during = replayed([*small, record(4, max_output=600)], tokens)
    after = replayed([*small, record(6, max_output=600)], tokens)
    assert count(during, Happening.REFUSED).calls == 1
    assert count(after, Happening.REFUSED).calls == 0


def test_calls_that_overlap_count_as_open_at_once() -> None:
    parallel = policy("{name: parallel, limit: 2 concurrent}")
    long = [record(0, duration=10_000_000), record(1, duration=3_000_000)]
    assert count(replayed([*long, record(2)], parallel), Happening.REFUSED).calls == 1
    assert count(replayed([*long, record(4)], parallel), Happening.REFUSED).calls == 0


def test_a_call_that_is_open_for_longer_than_hold_keeps_its_lease() -> None:
    parallel = policy("{name: parallel, limit: 1 concurrent}", more="hold: 60s")
    calls = [record(0, duration=600_000_000), record(599), record(601)]
    found = count(replayed(calls, parallel), Happening.REFUSED)
    assert (found.calls, found.first) == (1, START + 599_000_000)


@pytest.mark.parametrize(
    ("status", "refused"), [(200, 1), (404, 1), (401, 0), (429, 0), (500, 0), (0, 1)]
)
def test_what_an_answer_is_charged_depends_on_its_status(status: int, refused: int) -> None:
    one = policy("{name: pace, limit: 1 request/minute}")
    calls = [record(0, status=status), record(1)]
    assert count(replayed(calls, one), Happening.REFUSED).calls == refused


def test_a_call_that_was_refused_then_is_charged_its_estimate_if_it_is_admitted_now() -> None:
    tokens = policy("{name: day, limit: 1000 tokens/day}")
    refused = [record(second, verdict="wait", usage=None, status=0) for second in range(3)]
    assert count(replayed(refused, tokens), Happening.REFUSED).calls == 1


def test_records_are_put_in_order_and_those_that_come_too_late_are_counted() -> None:
    calls = [record(second) for second in (3, 2, 1, 0)]
    found = replayed(calls, policy(PACE))
    assert count(found, Happening.REFUSED).first == START + 2_000_000
    assert (found.first, found.last, found.late) == (START, START + 3_000_000, 0)
    assert replayed(calls, policy(PACE), window=1).late == 2


def test_a_line_that_is_no_record_is_named_and_passed_over() -> None:
    items = [record(0), Problem(2, "no record of a call", "log"), record(1)]
    found = replayed(items, policy(PACE))
    assert (found.malformed, found.policy.calls) == (1, 2)
    assert (found.problems[0].file, found.problems[0].line) == ("log", 2)
    assert "  log:2: no record of a call" in lines_of(found)


def test_shadow_budgets_say_what_enforcing_them_would_do() -> None:
    shadow = policy("{name: pace, limit: 2 requests/minute, mode: shadow}")
    calls = [record(second) for second in range(5)]
    found = replayed(calls, shadow)
    assert count(found, Happening.WOULD_REFUSE, "pace").calls == 3
    assert (count(found, Happening.REFUSED).calls, found.policy.disturbed) == (0, 0)
    assert count(replayed(calls, enforced(shadow)), Happening.REFUSED, "pace").calls == 3


def test_two_policies_are_compared_call_by_call() -> None:
    calls = [record(second, identity) for second in range(6) for identity in ("a", "b")]
    more, fewer = policy("{name: wide, limit: 4 requests/minute}"), policy(PACE)
    stricter = replayed(calls, more, fewer).difference
    looser = replayed(calls, fewer, more).difference
    assert stricter is not None
    assert looser is not None
    assert (stricter.newly_refused.calls, stricter.newly_refused.callers) == (4, 2)
    assert stricter.newly_refused.budgets == {"pace": 4}
    assert (looser.no_longer_refused.calls, looser.newly_refused.calls) == (4, 0)
    assert looser.no_longer_refused.budgets == {"pace": 4}


def test_a_policy_compared_with_itself_differs_in_nothing() -> None:
    found = replayed([record(second) for second in range(9)], policy(PACE), policy(PACE))
    assert found.difference is not None
    assert found.difference == Difference()


def test_pools_are_those_of_the_log() -> None:
    pooled = policy(
        "{name: team, limit: 2 requests/minute, per: org}",
        more="partitions: {org: {claim: org.id}}",
    )
    calls = [record(n, f"{n}", partitions={"org": "org:1"}) for n in range(3)]
    assert count(replayed(calls, pooled), Happening.REFUSED, "team").calls == 1
    alone = replayed([record(n, f"{n}") for n in range(3)], pooled)
    assert count(alone, Happening.REFUSED).calls == 0
    assert "does not say the org of all callers" in alone.policy.caveats[0]


def test_a_log_that_names_no_callers_is_said_to() -> None:
    nameless = replayed([record(n, "anonymous") for n in range(3)], policy(PACE))
    assert any("names no callers" in caveat for caveat in nameless.policy.caveats)
    assert not replayed([record(0), record(1, "anonymous")], policy(PACE)).policy.caveats


def test_tiers_are_those_of_the_log() -> None:
    tiers = policy(PACE, more="tiers: {gold: {when: {claim: {plan: gold}}, scale: {pace: 2}}}")
    gold = [record(second, tier="gold") for second in range(5)]
    strange = [record(second, tier="lead") for second in range(5)]
    assert count(replayed(gold, tiers), Happening.REFUSED).calls == 1
    found = replayed(strange, tiers)
    assert count(found, Happening.REFUSED).calls == 3
    assert any("no tier lead" in caveat for caveat in found.policy.caveats)


def test_tiers_that_follow_from_the_source_are_found_anew() -> None:
    tiers = policy(PACE, more="tiers: {anon: {when: {source: anonymous}, scale: {pace: 0.5}}}")
    calls = [record(second, "anonymous", source="anonymous") for second in range(5)]
    assert count(replayed(calls, tiers), Happening.REFUSED).calls == 4


def test_callers_grow_old_in_a_log() -> None:
    more = "tiers: {young: {when: {age: {below: 1 day}}, scale: {pace: 0.5}}}"
    day = 24 * 3_600
    calls = [record(start + second) for start in (0, day) for second in range(3)]
    found = replayed(calls, policy(PACE, more=more))
    assert count(found, Happening.REFUSED).calls == 2 + 1
    assert any("every caller is a newcomer" in caveat for caveat in found.policy.caveats)


def test_tiers_that_ask_for_more_than_a_log_says_are_those_of_the_log() -> None:
    more = "tiers: {young: {when: {age: {below: 1 day}, claim: {a: b}}, scale: {pace: 0.5}}}"
    calls = [record(second, tier="young") for second in range(3)]
    assert count(replayed(calls, policy(PACE, more=more)), Happening.REFUSED).calls == 2
    plain = [record(second) for second in range(3)]
    assert count(replayed(plain, policy(PACE, more=more)), Happening.REFUSED).calls == 1


BREADTH = (
    "{name: breadth, limit: 4 buckets/day, price: {free: 0.5, cap: 4},"
    " then: {slow: 0.6}, mode: enforce}"
)


def test_without_texts_budgets_in_buckets_are_not_replayed() -> None:
    found = replayed([record(second) for second in range(9)], policy(BREADTH, PACE))
    assert list(found.policy.not_replayed) == ["breadth"]
    assert any(line.startswith("not replayed: breadth") for line in lines_of(found))
    assert count(found, Happening.REFUSED, "pace").calls == 7


def test_with_texts_callers_are_slowed_and_priced() -> None:
    calls = [record(n, texts=(TrafficText(f"topic {n}"),)) for n in range(6)]
    found = replayed(calls, policy(BREADTH), analyzer=FakeAnalyzer())
    assert not found.policy.not_replayed
    assert count(found, Happening.SLOWED, "breadth").calls > 0
    assert count(found, Happening.PRICED, "breadth").calls > 0
    assert count(found, Happening.REFUSED, "breadth").calls == 2


def test_an_interrupt_ends_it_with_what_was_found() -> None:
    def interrupted() -> Iterator[TrafficRecord]:
        yield from (record(second) for second in range(2_000))
        raise KeyboardInterrupt

    found = replayed(interrupted(), policy(PACE), window=10)
    assert found.interrupted
    assert 0 < found.policy.calls < 2_000
    assert next(lines_of(found)).startswith("interrupted")


def test_records_without_a_path_are_taken_for_their_operation() -> None:
    only = policy("{name: chats, limit: 1 request/minute, match: {operation: chat}}")
    calls = [record(0, path=""), record(1, path=""), record(2, path="", operation="embeddings")]
    assert count(replayed(calls, only), Happening.REFUSED).calls == 1


def test_records_without_an_operation_are_taken_for_that_of_their_path() -> None:
    only = policy("{name: chats, limit: 1 request/minute, match: {operation: messages}}")
    calls = [record(second, path="/v1/messages", operation="") for second in range(2)]
    assert count(replayed(calls, only), Happening.REFUSED).calls == 1


def test_what_no_budget_applies_to_is_said() -> None:
    found = replayed([record(0, path="/health", method="GET")], policy(PACE, more="exempt: [/h*]"))
    assert found.policy.unlimited == 1


def test_a_model_without_a_price_is_refused() -> None:
    money = policy("{name: day, limit: 5 usd/day}", more="models: {other: {input: 1, output: 1}}")
    assert count(replayed([record()], money), Happening.REFUSED, "(no price)").calls == 1


def test_a_blocked_caller_is_refused() -> None:
    key = "3f2a" * 8
    more = f"overrides: [{{account: {key}, block: true}}]"
    found = replayed([record(0, key), record(1, "b" * 32)], policy(PACE, more=more))
    assert count(found, Happening.REFUSED, "(blocked)").calls == 1


def test_progress_is_reported() -> None:
    told: list[tuple[int, int]] = []
    calls = (record(second) for second in range(2_500))
    replayed(calls, policy(PACE), report=lambda *far: told.append(far))
    assert [number for number, _ in told] == [0, 1_000, 2_000]


def test_what_the_log_decided_otherwise_is_counted() -> None:
    calls = [record(n, verdict="admit", settlement="done") for n in range(3)]
    found = replayed(calls, policy(PACE))
    assert (found.policy.agreed, found.policy.differed) == (2, 1)


def test_a_replay_writes_no_log_of_its_own(tmp_path: Path) -> None:
    log = tmp_path / "traffic.jsonl"
    logging_too = policy(PACE, more=f"traffic_log: {{path: {log}}}")
    assert replayed([record(second) for second in range(3)], logging_too).policy.disturbed == 1
    assert not list(tmp_path.iterdir())


def test_an_empty_log_has_no_calls() -> None:
    found = replayed([], policy(PACE))
    assert found.policy.calls == 0
    assert list(lines_of(found))
