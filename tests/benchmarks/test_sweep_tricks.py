"""The benchmark's request bodies: tricks, honest ways of working, and the fits that score them."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.sweep.bodies import Request, asked
from benchmarks.sweep.context import Context, Cover, Settings, Size
from benchmarks.sweep.corpora import Entry, Prompt, identities
from benchmarks.sweep.corpora import read as corpus_of
from benchmarks.sweep.goals import goals
from benchmarks.sweep.groups import Member, group_of
from benchmarks.sweep.policies import counting_requests, enforced
from benchmarks.sweep.replay import obtain
from benchmarks.sweep.scoring import SHIPPED, Fit, Fits, current, read_fits, scored_with
from benchmarks.sweep.tricks import QUICK_TRICKS, TRICKS, Scene
from benchmarks.sweep.tricks.wording import unknown_script
from benchmarks.sweep.ways import WAYS_OF_WORKING, Desk, desk_of
from querybudget.adapters import adapter_for
from querybudget.adapters.base import UNREADABLE, Call, Target
from querybudget.adapters.reading import read_call
from querybudget.coverage import response
from querybudget.coverage.evidence import FEATURES, views_of_part
from querybudget.coverage.stream import SUMS
from querybudget.limiter.conditions import needs_content

COUNT = 70


def scene() -> Scene:
    return Scene(
        prompts=[f"Explain why number {n} is larger than {n // 2}, please." for n in range(COUNT)],
        topics=[f"topic {n % 7}" for n in range(COUNT)],
        template="You are the desk of Belfan. Be brief and exact.",
        cover=[f"where is my parcel {n}" for n in range(40)],
        cover_template="You are a helper. Be polite.",
        draw=random.Random(1),
    )


def desk() -> Desk:
    return Desk(
        prompts=[f"where is parcel {n}" for n in range(12)],
        sessions=[n // 4 for n in range(12)],
        template="You are a helper.",
        documents=["A long report of the harbour. " * 30, "Minutes of a meeting. " * 40],
        answers=["It is on its way."],
        draw=random.Random(2),
    )


def read(request: Request) -> Call:
    adapter = adapter_for(request.path, "POST", ())
    assert adapter is not None
    return read_call(adapter, Target(request.path), request.body)


def test_the_table_has_every_kind_of_trick() -> None:
    assert len(TRICKS) > 100
    assert set(QUICK_TRICKS) < set(TRICKS)


@pytest.mark.parametrize("name", TRICKS)
def test_a_trick_asks_every_prompt_of_the_sweep_in_bodies_of_json(name: str) -> None:
    asks = set[int]()
    for request in TRICKS[name].bodies(scene()):
        json.loads(request.body)
        asks.update(request.asks)
    assert asks == set(range(COUNT))


@pytest.mark.parametrize("name", sorted({*TRICKS} - {"number_in_part", "messages_twice"}))
def test_the_adapters_read_the_bodies_of_a_trick(name: str) -> None:
    for request, _ in zip(TRICKS[name].bodies(scene()), range(5), strict=False):
        call = read(request)
        assert call.operation != UNREADABLE
        assert call.generates


@pytest.mark.parametrize("share", [50, 70, 90])
def test_cover_traffic_has_its_share_and_asks_nothing_of_the_sweep(share: int) -> None:
    sent = [r for _ in range(5) for r in TRICKS[f"cover_{share}_same_template"].bodies(scene())]
    own = sum(bool(request.asks) for request in sent)
    assert 1 - own / len(sent) == pytest.approx(share / 100, abs=0.08)


def test_a_growing_conversation_holds_its_earlier_tasks_and_stays_bounded() -> None:
    bodies = [request.body for request in TRICKS["growing_conversation"].bodies(scene())]
    assert b"number 3 is larger" in bodies[9]
    assert max(map(len, bodies)) < 40_000


def test_one_topic_a_day_waits_for_midnight_between_topics() -> None:
    days = [request.new_day for request in TRICKS["one_topic_a_day"].bodies(scene())]
    assert sum(days) == 6


def test_an_unknown_script_keeps_words_apart_and_equal_words_equal() -> None:
    first, second, third = unknown_script("Horse and horse").split()
    assert first == third != second
    assert not any(one.isascii() for one in first)


@pytest.mark.parametrize("name", WAYS_OF_WORKING)
def test_an_honest_way_of_working_sends_bodies_that_adapters_read(name: str) -> None:
    sent = list(WAYS_OF_WORKING[name](desk()))
    assert sent
    assert all(read(request).operation != UNREADABLE for request in sent)
    assert not any(request.asks for request in sent)


def test_an_agent_sends_its_conversation_again_with_every_step() -> None:
    first, second = list(WAYS_OF_WORKING["agent"](desk()))[:2]
    assert json.loads(second.body)["messages"][:2] == json.loads(first.body)["messages"]
    assert json.loads(second.body)["messages"][-1]["role"] == "tool"


def test_a_corpus_is_scored_by_a_fit_that_has_seen_none_of_its_sources() -> None:
    one = Fit("one", frozenset({"a", "b"}))
    two = Fit("two", frozenset({"c"}))
    fits = Fits((one, two), frozenset("abc"))
    assert fits.of({"a"}) is one
    assert fits.of({"b", "never used"}) is one
    assert fits.of({"c"}) is two
    assert fits.unseen({"a", "b"})
    assert not fits.unseen({"a", "c"})


def test_a_corpus_without_sources_is_scored_with_the_shipped_weights() -> None:
    fits = Fits((Fit("one", frozenset("a")),), frozenset("a"))
    assert fits.of(()) is fits.of({"elsewhere"}) is SHIPPED
    assert fits.unseen(())


def test_weights_are_replaced_by_name_in_their_own_type_and_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = {"NUMBER": 1.5, "TUPLES": ((0.5,),), "ARRAY": np.zeros(3, np.float32)}
    for name, value in weights.items():
        monkeypatch.setattr(f"querybudget.coverage.response.{name}", value, raising=False)
    new = {"NUMBER": 7.5, "TUPLES": [[1, 2], [3, 4]], "ARRAY": [1, 2, 3]}
    constants = {f"coverage.response.{name}": value for name, value in new.items()}
    (tmp_path / "folds.json").write_text(
        json.dumps({"fits": [{"unseen": ["a"], "constants": constants}]})
    )
    fits = read_fits(tmp_path / "folds.json", frozenset("a"))
    with scored_with(fits.of({"a"})):
        now = dict(vars(response))
        assert current().name == "fit 0"
    assert now["NUMBER"] == 7.5
    assert now["TUPLES"] == ((1, 2), (3, 4))
    assert now["ARRAY"].dtype == np.float32
    assert {name: vars(response)[name] for name in weights} == weights
    assert current() is SHIPPED


def test_a_fit_scores_although_another_has_scored_as_many_chunks_before() -> None:
    sums = [8] * len(SUMS)
    shipped, weight = views_of_part(sums), [[0.0, 0.0]] * len(FEATURES)
    with scored_with(Fit("weightless", constants={"coverage.evidence.WEIGHT": weight})):
        assert set(views_of_part(sums).values()) == {0.0}
    assert views_of_part(sums) == shipped


def test_a_group_of_one_community_is_drawn_from_one_corpus_and_a_mixed_one_from_many() -> None:
    members = {
        name: [Member((Prompt(f"{name} {n}"),), SHIPPED) for n in range(30)] for name in "abcdef"
    }
    community = group_of(members, "community", 20, 0) or []
    mixed = group_of(members, "mixed", 20, 0) or []
    assert len({one.prompts[0].text.split()[0] for one in community}) == 1
    assert len({one.prompts[0].text.split()[0] for one in mixed}) > 3
    assert group_of(members, "community", 31, 0) is None


POLICY = """
version: 1
budgets:
  - {name: calls, limit: 3 requests/day, per: identity, mode: enforce}
"""


def obtained(tmp_path: Path, requests: Iterable[Request], **more: Any) -> frozenset[int]:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    context = Context(Settings(tmp_path, str(path), Size()))
    work = obtain(context.policy, context.analyzer, requests, per_day=860, **more)
    return asyncio.run(work).prompts


def sent(count: int, **more: Any) -> list[Request]:
    return [Request(asked("hello"), (n,), **more) for n in range(count)]


def test_what_is_refused_is_not_obtained(tmp_path: Path) -> None:
    assert obtained(tmp_path, sent(10)) == {0, 1, 2}


def test_a_limit_of_one_account_is_not_that_of_another(tmp_path: Path) -> None:
    requests = [Request(asked("hello"), (n,), account=n % 2) for n in range(10)]
    assert obtained(tmp_path, requests) == {0, 1, 2, 3, 4, 5}


def test_a_request_that_waits_for_midnight_has_a_new_day(tmp_path: Path) -> None:
    requests = [*sent(4), Request(asked("hello"), (4,), new_day=True)]
    assert 4 not in obtained(tmp_path, requests)  # a sliding day
    requests = [Request(asked("hello"), (n,), new_day=True) for n in range(6)]
    assert obtained(tmp_path, requests) == set(range(6))


def test_a_sweeper_gives_up_after_many_calls_in_vain(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    context = Context(Settings(tmp_path, str(path), Size()))
    work = obtain(context.policy, context.analyzer, sent(100), per_day=860, gives_up=5)
    assert asyncio.run(work).asked == 8


def test_a_goal_that_could_not_be_missed_is_not_called_met() -> None:
    few: dict[str, Any] = {"class": "broad", "wanted": 100, "obtained": {"random": {"1": 3}}}
    few["slowed_within"] = {"200": 1.0, "1000": 1.0}
    rows = goals(
        {
            "honest": {"strict": {"disturbed": 0.0, "refused": 0.0}},
            "sources": {},
            "applications": {},
            "groups": {},
            "ways": {},
            "slowed": {
                kind: {"unseen": {"sweeps": 0, "within": {}}, "by_language": {}}
                for kind in ("broad", "narrow")
            },
            "sweeps": {"few": few},
            "tricks": {"plain": {"few": 100, "median_broad": 100}},
            "crowds": {"median_broad": {"one_template in_turn": {"obtained": 100}}},
            "speed": {"added_us": 1, "added_us_conversation": 500, "state_bytes": 3},
            "baselines": {},
        }
    )
    met = {row["goal"]: row["met"] for row in rows}
    assert met["obtained by trick plain, median broad sweep"] is None
    assert met["obtained by accounts of 15 calls, one template in turn, median broad sweep"] is None
    assert met["obtained by one account in 30 days, median broad sweep"] is True
    assert met["µs added to a 100 KB conversation of which 1 KB is new"] is False


def test_every_budget_of_the_preset_is_enforced() -> None:
    assert all(one.mode == "enforce" for one in enforced("preset:distillation").budgets)


def test_what_the_cost_of_coverage_is_compared_with_looks_into_no_call() -> None:
    policy = counting_requests(enforced("preset:distillation"))
    assert not any(map(needs_content, policy.budgets))
    assert len(policy.budgets) == len(enforced("preset:distillation").budgets)


def test_documents_are_of_another_source_and_answers_of_another_caller(tmp_path: Path) -> None:
    lines = [{"prompt": f"{user} asks {n}", "user": user} for user in "vw" for n in range(30)]
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    own = Cover("app", ("mine " * 200,), "", frozenset("a"))
    other = Cover("app", ("theirs " * 200,), "", frozenset("b"))
    entry = Entry("x", path, "benign", "app", "user", "en", 60, frozenset("a"))
    first = identities(corpus_of(entry))[0]
    made = desk_of([own, other], entry, first, "agent", 10)
    assert made.documents == other.texts
    assert {answer[0] for answer in made.answers} == {"w"}
