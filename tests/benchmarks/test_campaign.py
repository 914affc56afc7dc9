"""The benchmark of campaigns, on made-up prompts."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.campaign import scenarios as planned
from benchmarks.campaign.deployment import ATTRIBUTES, Account, Answer, policy_of
from benchmarks.campaign.goals import goals
from benchmarks.campaign.observing import OnceAnalyzer, call_of
from benchmarks.campaign.oracle import first_looks, left_by_oracle
from benchmarks.campaign.outcome import outcome
from benchmarks.campaign.page import (
    BEGINS,
    ENDS,
    PAGE,
    README,
    RESULT,
    filled,
    summed_up,
)
from benchmarks.campaign.people import (
    BLOCK,
    FIRM,
    PAST,
    Block,
    Caller,
    crowds,
    drawn,
    established,
    newcomers,
)
from benchmarks.campaign.processes import figures_of
from benchmarks.campaign.rhythms import CLOSES, OPENS, RHYTHMS, Rhythm
from benchmarks.campaign.scenarios import FULL, QUICK, Scenario, Size, scenarios
from benchmarks.campaign.sharing import SHARES, shared_out
from benchmarks.campaign.sweepers import Sweeper, sweepers
from benchmarks.campaign.templates import TEMPLATES, template_of
from benchmarks.campaign.undefended import account_days_undefended
from benchmarks.campaign.world import Happened, happen
from benchmarks.sweep.analysis import FittedAnalyzer
from benchmarks.sweep.context import FULL as WHOLE
from benchmarks.sweep.context import Settings
from benchmarks.sweep.corpora import Identity, Prompt
from benchmarks.sweep.scoring import SHIPPED
from benchmarks.sweep.timing import BEGIN, DAY
from querybudget.coverage import Observation
from querybudget.coverage.response import Stage
from querybudget.policy.model import Policy
from querybudget.units import MICRO

WORDS = [a + b + c for a in ("ka", "lo", "mi") for b in ("na", "te", "so") for c in ("r", "l")]

UNLIMITED = "version: 1\nbudgets:\n  - {name: day, limit: 1_000_000 requests/day}\n"

SMALL = Size("small", crowds=12, variations=False)


def prompts(count: int, tasks: int = 3) -> tuple[Prompt, ...]:
    draw = random.Random(count)
    return tuple(
        Prompt(" ".join(draw.choices(WORDS, k=8)) + f" {n}", f"task {n % tasks}")
        for n in range(count)
    )


def block(name: str, kind: str = "person", count: int = BLOCK) -> Block:
    made = prompts(count)
    one = Identity(name, kind, made, tuple(n // 5 for n in range(count)))
    return Block(name.partition(" ")[0], kind, SHIPPED, "", one)


def unlimited(path: Path) -> Policy:
    file = path / "unlimited.yaml"
    file.write_text(UNLIMITED)
    return policy_of(str(file))


ANSWERED = Answer(refused=False, stage=Stage.NONE, price=MICRO, delay=0)
REFUSED = Answer(refused=True, stage=Stage.REFUSE, price=MICRO, delay=0)
SLOWED = Answer(refused=False, stage=Stage.SLOW, price=3 * MICRO, delay=5_000_000)


def answered(scenario: Scenario, answers: Any, corpus: Sequence[Prompt]) -> Happened:
    """What happens if each call comes to what `answers` says of its account and time."""
    parts = shared_out(corpus, scenario.accounts, scenario.each, scenario.share)
    places = sweepers(scenario, parts, ["a cover"], SHIPPED)
    calls, end = 0, BEGIN + scenario.days * DAY
    for place in places:
        now: int | None = place.begin()
        while now is not None and now < end:
            place.next_text()
            calls += 1
            now = place.heard(now, answers(place, now))
    return Happened(scenario, places, [], calls)


# Sharing out


@pytest.mark.parametrize("share", SHARES)
def test_every_account_gets_its_number_of_prompts_and_none_twice(share: str) -> None:
    parts = shared_out(prompts(100), 30, 10, share)
    assert len(parts) == 30
    assert all(len({one.text for one in part}) == 10 for part in parts)


@pytest.mark.parametrize("share", SHARES)
def test_a_corpus_is_shared_out_whole_before_a_prompt_is_used_again(share: str) -> None:
    parts = shared_out(prompts(100), 10, 10, share)
    assert {one.text for part in parts for one in part} == {one.text for one in prompts(100)}


def test_a_part_of_one_topic_has_few_tasks() -> None:
    of = [
        {len({one.task for one in part}) for part in shared_out(prompts(900, 9), 30, 20, share)}
        for share in ("topic", "random")
    ]
    assert max(of[0]) <= 2 < min(of[1])


# Templates


def test_accounts_have_the_templates_that_their_campaign_says() -> None:
    made = {kind: {template_of(kind, n) for n in range(40)} for kind in TEMPLATES}
    assert made["none"] == {""}
    assert len(made["same"]) == 1
    assert len(made["word"]) == len(made["date"]) == 40
    assert len(made["paraphrase"]) > 30


def test_a_word_changed_is_one_word_and_no_more() -> None:
    same, other = (template_of("word", n).split() for n in (3, 4))
    assert len(same) == len(other)
    assert sum(a != b for a, b in zip(same, other, strict=True)) == 1


# Rhythms


@pytest.mark.parametrize("kind", RHYTHMS)
def test_an_account_asks_about_as_often_as_it_is_said_to(kind: str) -> None:
    rhythm, times = Rhythm(kind, 26, random.Random(1)), list[int]()
    at = rhythm.first()
    while at < BEGIN + 11 * DAY:
        times.append(at)
        at = rhythm.after(at)
    assert 24 * 10 < len(times) < 28 * 11


def test_working_hours_are_kept() -> None:
    rhythm = Rhythm("hours", 26, random.Random(1))
    at = rhythm.first()
    for _ in range(200):
        assert OPENS <= (at - BEGIN) % DAY < CLOSES
        at = rhythm.after(at)


def test_synchronised_accounts_ask_at_the_same_moments() -> None:
    first, second = (Rhythm("synchronised", 26, random.Random(n)) for n in (1, 2))
    assert first.first() == second.first()
    assert first.after(BEGIN) == second.after(BEGIN)


# Sweepers


def place(**more: Any) -> Sweeper:
    scenario = Scenario("x", accounts=1, each=60, **more)
    return sweepers(scenario, [prompts(60)], ["cover"], SHIPPED)[0]


def test_what_was_refused_is_asked_again_on_a_later_day() -> None:
    one = place()
    now = one.begin()
    asked = one.next_text()
    after = one.heard(now, REFUSED)
    assert after is not None
    texts = [asked]
    while after is not None:
        texts.append(one.next_text())
        now, after = after, one.heard(after, ANSWERED)
    assert texts.count(asked) == 2
    assert texts[-1] == asked
    assert len(one.times) == 60


def test_an_account_that_gets_nothing_asks_less_and_less() -> None:
    one, days = place(), dict[int, int]()
    after: int | None = one.begin()
    while after is not None and after < BEGIN + 8 * DAY:
        one.next_text()
        day = (after - one.rhythm.begun) // DAY
        days[day] = days.get(day, 0) + 1
        after = one.heard(after, REFUSED)
    assert sorted(days.values(), reverse=True)[1:] == [3, *[1] * (len(days) - 2)]
    assert max(days.values()) <= 26
    assert one.times == []


def test_a_replacement_goes_on_with_what_its_predecessor_did_not_get() -> None:
    one = place(replaced=True)
    now = one.begin()
    first = one.account.name
    asked = one.next_text()
    after = one.heard(now, REFUSED)
    assert after is not None
    assert one.account.name != first
    assert one.used[-1].replaces == first
    assert asked in {prompt.text for prompt in one.pending}


def test_cover_is_no_part_of_what_is_obtained() -> None:
    one = place(cover=1.0)
    one.begin()
    for _ in range(10):
        assert one.next_text() == "cover"
        one.heard(BEGIN, ANSWERED)
    assert one.times == []
    assert one.used[0].asked == 0
    assert len(one.pending) == 60


def test_cover_takes_its_share_of_the_calls() -> None:
    one = place(cover=0.8)
    one.pending = deque(prompts(2_000))
    texts = [one.next_text() for _ in range(2_000)]
    assert texts.count("cover") == pytest.approx(1_600, abs=80)


# Honest callers


def test_a_caller_is_of_one_corpus_and_has_calls_enough_to_be_established() -> None:
    blocks = [block(f"{name} {n}") for name in ("a", "b", "c") for n in range(7)]
    for one in established(Scenario("x", accounts=8, established=1.0), blocks):
        assert len(one.prompts) == len(one.times) == (PAST + 1) * BLOCK
        before = [at for at in one.times if at < BEGIN]
        assert len(before) == PAST * BLOCK >= 50
        assert BEGIN - before[0] > 30 * DAY
        assert not one.account.joined_lately


def test_newcomers_join_while_the_campaign_goes_on() -> None:
    made = newcomers(Scenario("x", accounts=40), [block("a 1"), block("b 1")])
    assert len(made) == 40
    assert all(BEGIN <= one.begin() < BEGIN + 3 * DAY for one in made)
    assert len({one.account.name for one in made}) == 40
    assert {one.corpus for one in made} == {"a", "b"}


def test_large_corpora_are_not_everybody() -> None:
    blocks = [block(f"large {n}") for n in range(90)] + [block(f"small {n}") for n in range(10)]
    source = drawn(blocks, "seed")
    names = [next(source).corpus for _ in range(400)]
    assert names.count("small") == pytest.approx(200, abs=50)


def test_crowds_have_in_common_what_they_should() -> None:
    blocks = [block(f"a {n}", kind) for kind in ("person", "app") for n in range(8)]
    of: dict[str, list[Caller]] = {}
    made = crowds(320, blocks)
    for one in made:
        of.setdefault(one.side, []).append(one)
    assert len({one.account.name for one in made}) == len(made)
    assert len(of["popular client"]) == 320
    assert len({one.template for one in of["popular client"]}) == 1
    assert {one.account.attributes["network"] for one in of["campus"]} == {"a campus"}
    release = [one.begin() for one in of["release day"]]
    assert max(release) - min(release) <= DAY // 12
    firms = {one.account.attributes["organisation"] for one in of["firms"]}
    assert len(of["firms"]) == FIRM * len(firms)


def test_what_happened_before_the_campaign_is_not_counted_against_it() -> None:
    one = Caller(Account("x"), "established", "person", "a", "", prompts(3), [0, 1, BEGIN])
    found = list[tuple[bool, bool]]()
    for now in (BEGIN - 1, BEGIN):
        one.heard(now, REFUSED)
        found.append((one.disturbed, one.refused))
    assert found == [(False, False), (True, True)]


# Deployment


def test_an_account_alone_shares_no_attribute_and_others_share_the_one_they_have() -> None:
    first, second = (Account(n, attributes={"network": "one"}) for n in ("a", "b"))
    said = [one.scope["state"]["claims"] for one in (first, second)]  # type: ignore[index]
    assert said[0]["network"] == said[1]["network"]
    for name in ATTRIBUTES:
        if name != "network":
            assert said[0][name] != said[1][name]


def test_the_policy_under_test_pools_each_attribute() -> None:
    policy = policy_of(str(Path(planned.__file__).with_name("policy.yaml")))
    assert {name: one.resolver.name for name, one in policy.partitions.items()} == {
        name: name for name in ATTRIBUTES
    }


def test_without_a_limit_everything_is_obtained_in_the_time_that_is_computed(
    tmp_path: Path,
) -> None:
    scenario = Scenario("x", accounts=4, each=52, newcomers=0, established=0)
    policy = unlimited(tmp_path)
    analyzer = OnceAnalyzer(FittedAnalyzer(policy))
    places = sweepers(scenario, shared_out(prompts(300), 4, 52, "random"), [], SHIPPED)
    figures = outcome(asyncio.run(happen(policy, analyzer, scenario, places, [])))
    assert figures["share_of_corpus"] == figures["share_in_full_at_any_price"] == 1
    assert figures["account_days_to_90_percent"] == pytest.approx(
        account_days_undefended(scenario), rel=0.15
    )
    assert figures["time_to_first_slow_s"] is None
    assert figures["accounts_disturbed"] == 0


# Analysis


class Counting:
    """An analyzer that counts what it looks at."""

    names = ()

    def __init__(self) -> None:
        self.asked = list[str]()

    async def analyze(self, call: Any, caller: str, /) -> Observation:
        self.asked.append(caller)
        return Observation(opaque=(len(call.segments),), template=len(call.template))

    async def aclose(self) -> None:
        """Nothing."""


def test_a_text_is_looked_at_once_however_many_ask_it() -> None:
    inner = Counting()
    analyzer = OnceAnalyzer(inner)  # type: ignore[arg-type]
    for caller in ("a", "b", "c"):
        for template in ("", "You are one.", "You are another."):
            asyncio.run(analyzer.analyze(call_of("a text", template), caller))
    assert len(inner.asked) == 3
    assert analyzer.looked_at == 1


def test_a_prompt_under_a_system_prompt_shows_what_the_analyzer_sees_of_both(
    tmp_path: Path,
) -> None:
    policy = policy_of("preset:distillation")
    whole, parts = FittedAnalyzer(policy), OnceAnalyzer(FittedAnalyzer(policy))
    template = template_of("same", 0)
    for number, prompt in enumerate(prompts(3)):
        call = call_of(f"Why is {prompt.text} blue, and what follows?", template)
        seen = asyncio.run(whole.analyze(call, "a caller"))
        assert asyncio.run(parts.analyze(call, "a caller")) == seen, number
    parts.save(tmp_path / "seen")
    later = OnceAnalyzer(Counting())  # type: ignore[arg-type]
    later.load(tmp_path / "seen")
    assert later.looked_at == 3


# Figures


def test_sums_of_a_sample_are_scaled_and_said_to_be() -> None:
    scenario = Scenario("x", accounts=5, each=26, stands_for=10)
    figures = outcome(answered(scenario, lambda *_: ANSWERED, prompts(200)))
    assert figures["accounts"] == 50
    assert figures["obtained"] == figures["prompts"] == 1_300
    assert figures["share_of_corpus"] == 1
    assert any("10" in line for line in figures["simulated"]["extrapolated"])


def test_the_share_rises_by_day_up_to_what_was_obtained() -> None:
    scenario = Scenario("x", accounts=5, each=52, days=4)
    figures = outcome(answered(scenario, lambda *_: ANSWERED, prompts(300)))
    shares = figures["share_by_day"]
    assert shares == sorted(shares)
    assert shares[-1] == figures["share_of_corpus"] == 1


def test_a_campaign_that_gets_nothing_never_gets_nine_tenths() -> None:
    def first_day(_: Sweeper, now: int) -> Answer:
        return ANSWERED if now < BEGIN + DAY else REFUSED

    figures = outcome(answered(Scenario("x", accounts=5, each=60), first_day, prompts(400)))
    assert 0.1 < figures["share_of_corpus"] < 0.6
    nothing = outcome(
        answered(Scenario("x", accounts=5, each=60), lambda *_: REFUSED, prompts(400))
    )
    assert nothing["account_days_to_90_percent"] is None
    assert figures["accounts_disturbed"] == 1
    assert figures["time_to_first_slow_s"] == pytest.approx(86_400, abs=7_200)


def test_fresh_accounts_are_the_cheaper_way_where_old_ones_get_nothing() -> None:
    def ten_each(place: Sweeper, _: int) -> Answer:
        return ANSWERED if len(place.times) < 10 else REFUSED

    figures = outcome(answered(Scenario("x", accounts=20, each=50), ten_each, prompts(1_000)))
    assert figures["share_of_corpus"] == pytest.approx(0.2)
    # 100 accounts obtain ten prompts each on their first day, but for those that begin at its end.
    assert 80 <= figures["account_days_to_90_percent"] <= 180


def test_slow_progress_is_extrapolated() -> None:
    def one_a_day(place: Sweeper, now: int) -> Answer:
        return ANSWERED if not place.got else SLOWED

    scenario = Scenario("x", accounts=4, each=100, days=10)
    figures = outcome(answered(scenario, one_a_day, prompts(400)))
    assert figures["share_of_corpus"] < 0.2
    assert figures["account_days_to_90_percent"] == pytest.approx(4 * 90, rel=0.35)
    assert figures["share_of_corpus"] < figures["share_in_full_at_any_price"] <= 1


def test_replacements_that_get_little_are_held() -> None:
    def first_ones(place: Sweeper, _: int) -> Answer:
        return ANSWERED if len(place.used) == 1 and len(place.times) < 20 else REFUSED

    scenario = Scenario("x", accounts=2, each=60, replaced=True, days=2)
    figures = outcome(answered(scenario, first_ones, prompts(200)))
    assert figures["replacements"]["accounts"] > 10
    assert figures["replacements"]["held"] == 1
    assert figures["accounts_used"] > 2


def test_links_are_right_where_they_tie_accounts_of_the_campaign() -> None:
    scenario = Scenario("x", accounts=4, each=26, replaced=True, days=1)
    happened = answered(scenario, lambda *_: ANSWERED, prompts(200))
    ours = {one.account.name: "g1" for place in happened.places[:3] for one in place.used}
    figures = outcome(replace(happened, groups={**ours, "a friend": "g1", "b": "g2", "c": "g2"}))
    assert figures["accounts_linked"] == 6
    assert figures["precision"] == 0.5
    assert figures["recall"] == 0.75
    assert figures["largest_wrong_group"] == 2
    assert outcome(happened)["precision"] is None


def test_a_replacement_that_is_linked_is_not_free_even_where_it_obtains_much() -> None:
    def late(place: Sweeper, _: int) -> Answer:
        return REFUSED if place.used[-1].asked == 19 else ANSWERED

    scenario = Scenario("x", accounts=1, each=120, replaced=True, days=7)
    happened = answered(scenario, late, prompts(200))
    later = [one.account.name for one in happened.places[0].used if one.replaces and one.begun]
    free, tied = (
        outcome(replace(happened, groups=groups))["replacements"]
        for groups in ({}, dict.fromkeys(later[:2], "g"))
    )
    assert free["linked"] == free["held"] == 0
    assert tied["linked"] == pytest.approx(2 / len(later), abs=0.01)
    assert tied["held"] == tied["linked"]


def test_replacements_that_are_disturbed_before_they_have_much_are_held() -> None:
    def tenth(place: Sweeper, _: int) -> Answer:
        return REFUSED if place.used[-1].asked == 9 else ANSWERED

    scenario = Scenario("x", accounts=1, each=60, replaced=True, days=5)
    found = outcome(answered(scenario, tenth, prompts(200)))["replacements"]
    assert found["held"] > 0.8  # but for the last one, whose prompts are all answered
    assert found["obtained_each"] == pytest.approx(9, abs=1)


def test_a_goal_is_met_missed_or_not_measured() -> None:
    scenario = Scenario("nothing_shared", accounts=4, each=52)
    free = {"nothing_shared": outcome(answered(scenario, lambda *_: ANSWERED, prompts(300)))}
    held = {"nothing_shared": outcome(answered(scenario, lambda *_: REFUSED, prompts(300)))}
    name = "share obtained, nothing shared"
    assert [row["met"] for row in goals(free) if row["goal"] == name] == [False]
    assert [row["met"] for row in goals(held) if row["goal"] == name] == [True]
    assert {row["met"] for row in goals({})} == {None}


# Scenarios and pages


@pytest.mark.parametrize("size", [FULL, QUICK])
def test_every_scenario_has_a_name_of_its_own(size: Size) -> None:
    names = [one.name for one in scenarios(size)]
    assert len(names) == len(set(names))


def test_the_reported_campaign_stands_for_all_its_exchanges() -> None:
    (one,) = [s for s in scenarios(FULL) if s.name == "as_reported"]
    assert one.accounts * one.stands_for == planned.REPORTED["accounts"]
    total = one.accounts * one.each * one.stands_for
    assert total == pytest.approx(planned.REPORTED["exchanges"], rel=0.01)


def test_two_percent_of_newcomers_are_that() -> None:
    (one,) = [s for s in scenarios(FULL) if s.name == "nothing_shared_2_percent"]
    assert 1 / (1 + one.newcomers) == pytest.approx(0.02)


def test_tables_replace_what_is_between_the_markers_only() -> None:
    page = f"before\n{BEGINS}\nold\n{ENDS}\nafter\n"
    result = {"goals": goals({}), "scenarios": {}}
    text = filled(page, result)
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert filled(text, result) == text


def test_the_page_has_the_tables_of_our_own_run() -> None:
    # Where this fails: python -m benchmarks.campaign.page
    assert PAGE.read_text() == filled(PAGE.read_text(), json.loads(RESULT.read_bytes()))


# A whole run


def folder(path: Path) -> Path:
    made = {
        "talks": ("benign", "person", "merge:3"),
        "desk": ("benign", "app", "slice:60"),
        "wide": ("sweep", "broad", "all"),
    }
    entries: dict[str, Any] = {}
    for name, (side, kind, cut) in made.items():
        with gzip.open(path / f"{name}.jsonl.gz", "wt", encoding="utf-8") as file:
            for n, one in enumerate(prompts(240)):
                line = {"prompt": f"{name} {one.text}", "task": one.task, "user": f"u{n // 10}"}
                file.write(json.dumps(line) + "\n")
        entries[name] = {
            "file": f"{name}.jsonl.gz",
            "side": side,
            "class": kind,
            "identity": cut,
            "language": "en",
            "prompts": 240,
        }
    (path / "manifest.json").write_text(json.dumps(entries))
    return path


def test_a_run_has_the_figures_of_every_scenario_whatever_the_number_of_processes(
    tmp_path: Path,
) -> None:
    policy = str(Path(planned.__file__).with_name("policy.yaml"))
    settings = Settings(folder(tmp_path), policy, WHOLE)
    wanted = [
        Scenario("plain", accounts=3, each=12, days=2),
        Scenario("crowded", accounts=2, each=6, days=1, crowds=True, template="same"),
    ]
    seen = tmp_path / "seen"
    runs = [dict(figures_of(settings, SMALL, wanted, jobs, seen)) for jobs in (1, 2)]
    for run in runs:
        for figures in run.values():
            figures.pop("seconds")
    assert runs[0] == runs[1]
    assert set(runs[0]["crowded"]["honest"]) >= {"campus", "firms", "popular client"}
    assert runs[0]["plain"]["honest"]["established"]["callers"] == 2
    json.dumps(runs[0], allow_nan=False)


def test_the_readme_says_what_the_last_run_measured() -> None:
    # Where this fails: python -m benchmarks.campaign.page
    assert README.read_text() == summed_up(README.read_text(), json.loads(RESULT.read_bytes()))


def test_an_oracle_leaves_what_an_account_asks_until_its_first_look(tmp_path: Path) -> None:
    analyzer = OnceAnalyzer(FittedAnalyzer(unlimited(tmp_path)))
    same = (Prompt("Explain the same thing to me.", "same"),) * 10
    parts = [same, *[prompts(10)] * 2]
    looks = asyncio.run(first_looks(analyzer, parts, SHIPPED))
    assert looks[0] == 10  # it never enters enough new ground, so it has all
    assert 4 <= looks[1] == looks[2] <= 10


def test_an_oracle_at_the_fourth_prompt_multiplies_account_days_by_what_a_day_obtains() -> None:
    scenario = Scenario("x", accounts=10, each=52, per_day=26)
    found = left_by_oracle(scenario, [4] * 10)
    assert found == {"share_of_corpus": 0.0769, "account_days_multiplier": 6.5}
