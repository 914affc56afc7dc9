"""The benchmark on prompts, on made-up corpora."""

from __future__ import annotations

import gzip
import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.sweep.__main__ import main
from benchmarks.sweep.accounts import WAYS, split_among
from benchmarks.sweep.baselines import Queries, baselines
from benchmarks.sweep.baselines.base import running_distinct
from benchmarks.sweep.baselines.prada import nearest, shapiro_wilk
from benchmarks.sweep.corpora import (
    MAX_PROMPTS,
    MIN_PROMPTS,
    Corpus,
    Entry,
    Identity,
    Prompt,
    conversations,
    identities,
    manifest,
    read,
)
from benchmarks.sweep.figures import NEVER, count_figures, interval, middle, quantile
from benchmarks.sweep.groups import KINDS as GROUPS
from benchmarks.sweep.thresholds import first_over, obtained, thresholds
from benchmarks.sweep.timing import DAY, arrivals, evenly
from benchmarks.sweep.tricks import QUICK_TRICKS
from benchmarks.sweep.ways import WAYS_OF_WORKING
from benchmarks.sweep.workloads import honest_stream, merged, random_order, shuffled

OWN = ("own", "none")
WORDS = [
    a + b + c for a in ("ka", "lo", "mi", "ru") for b in ("na", "te", "so") for c in ("r", "l")
]


def prompts(count: int, *, users: int = 0, tasks: int = 3, seed: int = 0) -> list[dict[str, Any]]:
    draw = random.Random(seed)
    lines: list[dict[str, Any]] = []
    for number in range(count):
        line: dict[str, Any] = {"prompt": " ".join(draw.choices(WORDS, k=8)) + f" {number}"}
        line["task"] = f"task{number % tasks}"
        if users:
            line["user"] = f"u{number * users // count}"
        lines.append(line)
    return lines


def corpus(cut: str, count: int, *, kind: str = "app", users: int = 0) -> Corpus:
    entry = Entry("made_up", Path("none"), "benign", kind, cut, "en", count)
    lines = prompts(count, users=users)
    made = tuple(Prompt(x["prompt"], x["task"], x.get("user", "")) for x in lines)
    return Corpus(entry, made)


def folder(path: Path) -> Path:
    """Corpora of every class, small."""
    made = {
        "talks": ("benign", "person", "merge:3", "en", prompts(120, users=12, seed=1)),
        "desk": ("benign", "app", "slice:60", "en", prompts(120, tasks=2, seed=2)),
        "box": ("benign", "gateway", "slice:60", "en", prompts(60, tasks=9, seed=3)),
        "wide": ("sweep", "broad", "all", "en", prompts(90, tasks=9, seed=4)),
        "deep": ("sweep", "narrow", "all", "en", prompts(60, tasks=1, seed=5)),
    }
    entries: dict[str, Any] = {}
    for name, (side, kind, cut, language, lines) in made.items():
        with gzip.open(path / f"{name}.jsonl.gz", "wt", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
        entries[name] = {
            "file": f"{name}.jsonl.gz",
            "side": side,
            "class": kind,
            "identity": cut,
            "language": language,
            "prompts": len(lines),
        }
    (path / "manifest.json").write_text(json.dumps(entries))
    return path


def test_consecutive_users_are_merged_into_one_identity_with_whole_conversations() -> None:
    (first, second) = identities(corpus("merge:5", 200, users=10))
    assert len(first.prompts) == len(second.prompts) == 100
    assert first.sessions == tuple(n // 20 for n in range(100))


def test_slices_are_consecutive_and_a_short_last_one_does_not_count() -> None:
    found = identities(corpus("slice:100", 200 + MIN_PROMPTS - 1))
    assert [len(one.prompts) for one in found] == [100, 100]


def test_an_identity_sends_at_most_the_maximum() -> None:
    (one,) = identities(corpus("all", MAX_PROMPTS + 5))
    assert len(one.prompts) == MAX_PROMPTS


def test_users_whose_prompts_are_interleaved_keep_their_own_order() -> None:
    mixed = [Prompt(str(n), user=f"u{n % 2}") for n in range(6)]
    assert [[p.text for p in talk] for talk in conversations(mixed)] == [
        ["0", "2", "4"],
        ["1", "3", "5"],
    ]


def test_persons_have_no_template_and_all_others_have_one_per_corpus() -> None:
    assert corpus("all", 30, kind="person").template == ""
    assert corpus("all", 30).template == corpus("slice:10", 30).template != ""


def test_a_folder_without_a_manifest_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"manifest\.json"):
        manifest(tmp_path)


@pytest.mark.parametrize("kind", ["person", "app", "gateway"])
def test_arrivals_go_forward_and_are_the_same_each_time(kind: str) -> None:
    one = Identity("n", kind, (Prompt("x"),) * 300, tuple(n // 7 for n in range(300)))
    times = arrivals(one)
    assert (np.diff(times) > 0).all()
    assert (times == arrivals(one)).all()


def test_persons_sleep_and_applications_do_not() -> None:
    sessions = tuple(n // 7 for n in range(6_000))
    hours = {
        kind: set(arrivals(Identity("n", kind, (Prompt("x"),) * 6_000, sessions)) % DAY * 24 // DAY)
        for kind in ("person", "app")
    }
    assert len(hours["person"]) < 20
    assert len(hours["app"]) == 24


def test_a_sweep_asks_evenly_at_its_rate() -> None:
    times = evenly(861, 860)
    assert int(times[-1] - times[0]) == pytest.approx(DAY, abs=2)
    assert int(np.ptp(np.diff(times))) <= 1


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("accounts", [1, 7, 1000])
def test_every_prompt_of_a_sweep_goes_to_exactly_one_account(way: str, accounts: int) -> None:
    wanted = corpus("all", 90).prompts
    parts = split_among(wanted, accounts, way)
    assert len(parts) == min(accounts, 90)
    assert sorted(p.text for part in parts for p in part) == sorted(p.text for p in wanted)


def test_sharing_by_topic_gives_an_account_few_topics() -> None:
    parts = split_among(corpus("all", 90).prompts, 3, "topic")
    assert [len({p.task for p in part}) for part in parts] == [1, 1, 1]


def test_shuffling_keeps_each_conversation_in_order() -> None:
    order = shuffled(corpus("all", 100, users=20).prompts, "seed")
    for user in {p.user for p in order}:
        numbers = [int(p.text.split()[-1]) for p in order if p.user == user]
        assert numbers == sorted(numbers)


def test_draws_differ_and_are_repeatable() -> None:
    made = corpus("all", 90)
    assert random_order(made, 1) == random_order(made, 1) != random_order(made, 2)


def test_applications_behind_one_key_keep_their_order_and_their_system_prompts() -> None:
    both = [
        honest_stream(identities(corpus("slice:60", 60, kind=kind))[0], kind)
        for kind in ("app", "gateway")
    ]
    key = merged(both, "key")
    assert len(key) == 120
    assert (np.diff(key.times) > 0).all()
    for stream in both:
        mine = [
            prompt
            for prompt, system_prompt in zip(key.prompts, key.templates, strict=True)
            if system_prompt == stream.templates[0]
        ]
        assert mine == list(stream.prompts)


def test_intervals_contain_their_share_and_are_wide_for_few_values() -> None:
    low, high = interval(0, 30)
    assert low == 0
    assert 0.1 < high < 0.15
    assert interval(300, 600)[0] < 0.5 < interval(300, 600)[1]


def test_never_is_larger_than_every_count() -> None:
    assert middle([10, NEVER, NEVER]) == NEVER
    assert quantile([10, 20, NEVER], 0.9) == NEVER
    assert count_figures([5, 7, 9]) == {"median": 7, "p90": 9}
    assert count_figures([5, NEVER])["median"] is None


def test_w_of_shapiro_and_wilk_agrees_with_their_published_example() -> None:
    weights = [148, 154, 158, 160, 161, 162, 166, 170, 182, 195, 236]
    assert shapiro_wilk(np.array([*weights, 148.0])) == pytest.approx(0.7861, abs=2e-3)
    assert shapiro_wilk(np.linspace(0, 1, 50)) == pytest.approx(0.9557, abs=2e-3)


def test_the_nearest_predecessor_is_found_across_blocks() -> None:
    vectors = unit(1_200, seed=3)
    vectors[1_100] = vectors[7]
    found = nearest(vectors)
    assert found[1_099] == pytest.approx(0, abs=1e-3)
    direct = np.sqrt(np.maximum(0, 2 - 2 * (vectors[:600] @ vectors[600]).max()))
    assert found[599] == pytest.approx(direct, abs=1e-4)


def test_distinct_values_are_counted_as_they_come() -> None:
    assert running_distinct(np.array([3, 3, 1, 3, 2])).tolist() == [1, 1, 2, 2, 3]


def unit(count: int, *, seed: int, spread: float = 1.0) -> np.ndarray[Any, np.dtype[np.float32]]:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((count, 16)) * spread + np.eye(16)[0]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors, np.float32)


def sent(count: int, *, seed: int, spread: float, cells: int) -> Queries:
    rng = np.random.default_rng(seed)
    return Queries(
        unit(count, seed=seed, spread=spread),
        rng.integers(0, cells, count),
        evenly(count, 860),
        rng.integers(50, 300, count),
    )


def test_every_baseline_rates_every_stream_and_a_broad_one_higher() -> None:
    narrow = sent(400, seed=1, spread=0.05, cells=20)
    broad = sent(400, seed=2, spread=1.0, cells=3_000)
    found = baselines(unit(500, seed=3, spread=0.4))
    assert len({one.name for one in found}) == len(found)
    for one in found:
        both = one.suspicion(narrow), one.suspicion(broad)
        assert all(len(each) == 400 and np.isfinite(each[-1]) for each in both)
        if one.name.startswith(("b4b", "cap", "distinct")):
            assert both[1][-1] > both[0][-1]


def test_a_windowed_statistic_forgets_what_left_its_window() -> None:
    near = unit(300, seed=4, spread=0.4)
    far = -near
    pool = baselines(near)
    window = next(one for one in pool if one.name == "mmd_100")
    stream = Queries(
        np.concatenate([far, near]), np.zeros(600, np.int64), evenly(600, 860), np.ones(600, int)
    )
    suspicion = window.suspicion(stream)
    assert suspicion[250] > 10 * abs(suspicion[-1])


class Suspect:
    """An honest identity, as far as thresholds look at one."""

    def __init__(self, highest: float, *, disturbed: bool, kind: str = "app") -> None:
        self.suspicion, self.disturbed, self.kind = {"b": highest}, disturbed, kind


def test_a_threshold_disturbs_as_many_honest_identities_as_the_policy_and_no_more() -> None:
    people: list[Any] = [Suspect(n, disturbed=n == 0) for n in range(10)]
    people += [Suspect(99, disturbed=True, kind="gateway")]
    limit = thresholds(people)["b"]
    assert sum(p.suspicion["b"] > limit for p in people if p.kind == "app") == 1


def test_the_first_crossing_counts_own_queries_only() -> None:
    own = np.array([True, False, False, True, True])
    assert first_over(np.array([0, 0, 0, 2.0, 2]), 1, own) == 2
    assert math.isinf(first_over(np.zeros(5), 1, own))


def test_a_rate_limit_refills_the_next_day_and_a_detector_does_not() -> None:
    stream = sent(800, seed=5, spread=1, cells=3_000)
    by_name = {one.name: one for one in baselines(unit(100, seed=6))}
    assert obtained(by_name["requests_a_day"], stream, 10) == 300
    assert obtained(by_name["distinct_cells"], stream, 10) <= 12
    assert obtained(by_name["distinct_cells"], stream, 5_000) == 800


def test_an_honest_stream_has_the_template_of_its_corpus(tmp_path: Path) -> None:
    entries = {entry.name: entry for entry in manifest(folder(tmp_path))}
    app = read(entries["desk"])
    stream = honest_stream(identities(app)[0], app.template)
    assert set(stream.templates) == {app.template}
    assert not stream.own.any()


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A whole run on made-up corpora, in this process."""
    path = tmp_path_factory.mktemp("sweep")
    out = path / "out" / "result.json"
    arguments = ["--corpora", str(folder(path)), "--out", str(out), "--html", str(path / "page")]
    assert main([*arguments, "--quick", "--jobs", "1"]) == 0
    assert "<table>" in (path / "page" / "sweep.html").read_text()
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def test_a_run_reports_every_class_and_every_sweep_in_the_promised_shape(
    result: dict[str, Any],
) -> None:
    for kind in ("person", "app", "gateway"):
        figures = result["honest"][kind]
        assert {"identities", "disturbed", "refused", "priced_over_2", "p99_price"} <= set(figures)
        assert figures["identities"] > 0
    for one in (result, *result["baselines"].values()):
        assert set(one["sweeps"]) == {"wide", "deep"}
        for sweep in one["sweeps"].values():
            assert {"class", "language", "prompts", "cost_multiplier"} <= set(sweep)
            assert set(sweep["queries_to_slow"]) == {"median", "p90"}
            assert "1" in sweep["obtained"]["random"]


def test_a_run_reports_what_each_trick_obtains_of_each_sweep(result: dict[str, Any]) -> None:
    assert set(result["tricks"]) == set(QUICK_TRICKS)
    for obtained_by in result["tricks"].values():
        assert {"wide", "deep", "median"} <= set(obtained_by)


def test_a_run_reports_honest_callers_by_source_alone_together_and_at_work(
    result: dict[str, Any],
) -> None:
    assert set(result["sources"]) == {"talks", "desk"}
    assert set(result["applications"]) == {f"{n} {own}" for n in (2, 3, 5) for own in OWN}
    assert set(result["groups"]) == set(GROUPS)
    assert set(result["ways"]) == set(WAYS_OF_WORKING)
    assert set(result["deployment"]) == {"shipped threshold", "own threshold"}
    assert set(result["thin"]) == {"6", "8", "15", "26"}


def test_a_run_reports_its_goals_and_how_it_was_made(result: dict[str, Any]) -> None:
    assert all({"goal", "wanted", "measured", "met"} == set(row) for row in result["goals"])
    assert result["meta"]["corpora"]["in_sample"] == []
    assert len(result["meta"]["corpora"]["unseen_by_the_shipped_fit"]) == 5
    assert result["meta"]["policy"] == "preset:distillation"
    assert {"none", "without_score", "score_only"} < set(result["ablations"])


def test_a_run_writes_no_prompt(result: dict[str, Any]) -> None:
    written = json.dumps(result)
    assert not any(f" {word} " in written for word in WORDS)
