"""What one sweep meets, and what it brings home, under the policy and under every baseline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.sweep.ablation import calibrated, signals, without
from benchmarks.sweep.accounts import shared_out
from benchmarks.sweep.bench import PER_DAY, Bench, Settings
from benchmarks.sweep.campaign import DAYS, SAMPLE, Haul, campaign
from benchmarks.sweep.corpora import Corpus, Entry, Prompt, read, template
from benchmarks.sweep.covered import dilution
from benchmarks.sweep.figures import count_figures, plain, within
from benchmarks.sweep.judge import first_over, obtained
from benchmarks.sweep.policies import scored, without_buckets
from benchmarks.sweep.replay import replay
from benchmarks.sweep.streams import draw_of, shuffled, sweep
from querybudget.policy.model import Policy

__all__ = ["BOUNDS", "WANTED", "SweepPart", "sweep_part"]

BOUNDS = (50, 100, 200, 300, 500, 1_000, 2_000)
RATES = (26, 10_000)
WANTED = 0.9
"""Share of a sweep whose cost is told."""


@dataclass(frozen=True)
class SweepPart:
    """Everything about one sweep.

    Attributes:
        name: The corpus.
        figures: As the result has them.
        baselines: The same by baseline.
        ablations: For each signal left out, queries to slow of each draw.
        dilution: As `covered.dilution` gives it.
    """

    name: str
    figures: dict[str, Any]
    baselines: dict[str, dict[str, Any]]
    ablations: dict[str, list[float]]
    dilution: dict[str, Any]


def sweep_part(settings: Settings, entry: Entry) -> SweepPart:
    """All that is measured of one sweep."""
    with calibrated(settings.folds.get(entry.name, {})):
        return asyncio.run(_part(Bench(settings), read(entry)))


async def _part(bench: Bench, corpus: Corpus) -> SweepPart:
    entry, size = corpus.entry, bench.settings.size
    about = {"class": entry.kind, "language": entry.language, "prompts": len(corpus.prompts)}
    wanted = corpus.prompts
    if size.prompts and len(wanted) > size.prompts:
        wanted = shuffled(wanted, f"fewer {entry.name}")[: size.prompts]
    firsts = await _firsts(bench, bench.policy, corpus, size.draws)
    others = {
        str(rate): count_figures(
            await _firsts(bench, bench.policy, corpus, size.rate_draws, per_day=rate)
        )
        for rate in RATES
    }
    rephrased = await _firsts(bench, bench.policy, corpus, size.rate_draws, frames=_paraphrases)
    return SweepPart(
        entry.name,
        {
            **about,
            **_slowness(firsts),
            "by_rate": others,
            "paraphrased_template": count_figures(rephrased),
            **await _takings(bench, corpus, wanted),
        },
        await _baselines(bench, corpus, wanted, about),
        await _ablations(bench, corpus),
        await dilution(bench, corpus),
    )


def _slowness(firsts: Sequence[float]) -> dict[str, Any]:
    return {
        "queries_to_slow": count_figures(firsts),
        "slowed_within": within(firsts, BOUNDS),
        "draws": [plain(first) for first in firsts],
    }


async def _firsts(
    bench: Bench,
    policy: Policy,
    corpus: Corpus,
    draws: int,
    *,
    per_day: float = PER_DAY,
    frames: Callable[[Corpus, int], tuple[str, ...]] | None = None,
) -> list[float]:
    """Queries to slow of each draw."""
    found, most = list[float](), bench.settings.size.most
    for number in range(draws):
        stream = sweep(f"draw {number}", draw_of(corpus, number, most), corpus.template, per_day)
        if frames is not None:
            stream = stream.framed(frames(corpus, len(stream)))
        found.append((await replay(policy, bench.analyzer, stream, stop=True)).first)
    return found


def _paraphrases(corpus: Corpus, count: int) -> tuple[str, ...]:
    """A frame worded anew for every query, fifty wordings in all."""
    return tuple(template(f"{corpus.entry.name} {number % 50}") for number in range(count))


async def _takings(bench: Bench, corpus: Corpus, wanted: Sequence[Prompt]) -> dict[str, Any]:
    """What campaigns obtain in thirty days, and what nine tenths of the sweep cost."""
    size, found = bench.settings.size, dict[str, dict[str, int]]()
    alone: Haul | None = None
    account_days = dict[str, float]()
    for way in size.ways:
        found[way] = {}
        for accounts in size.accounts:
            parts = shared_out(wanted, accounts, way)
            haul = await campaign(bench.policy, bench.analyzer, parts, corpus.template, PER_DAY)
            found[way][str(accounts)] = haul.obtained
            if way == "random":
                account_days[str(accounts)] = round(len(parts) * _days(haul, len(wanted)), 2)
                alone = alone or haul
    assert alone is not None
    free = without_buckets(bench.policy)
    parts = shared_out(wanted, 1, "random")
    usual = await campaign(free, bench.analyzer, parts, corpus.template, PER_DAY)
    days, usual_days = _days(alone, len(wanted)), _days(usual, len(wanted))
    tokens, usual_tokens = _tokens(alone), _tokens(usual)
    return {
        "wanted": len(wanted),
        "obtained": found,
        "cost_multiplier": round(days / usual_days, 1),
        "token_multiplier": round(tokens / usual_tokens, 2),
        "account_days_to_90": account_days,
        "account_days_to_90_without": round(usual_days, 2),
    }


def _days(haul: Haul, prompts: int) -> float:
    """Account-days of one account to nine tenths: beyond the campaign, at the campaign's rate."""
    wanted = WANTED * prompts
    exact = haul.days_to(wanted)
    return max(exact, 1e-3) if exact is not None else DAYS * wanted / max(haul.obtained, 1)


def _tokens(haul: Haul) -> float:
    return haul.paid / max(haul.obtained, 1)


async def _baselines(
    bench: Bench, corpus: Corpus, wanted: Sequence[Prompt], about: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    limits, most = bench.settings.thresholds, bench.settings.size.most
    draws = [
        sweep(f"draw {number}", draw_of(corpus, number, most), corpus.template, PER_DAY)
        for number in range(bench.settings.size.draws)
    ]
    sent = [await bench.sent(stream) for stream in draws]
    taken = await _baseline_takings(bench, corpus, wanted)
    firsts: dict[str, list[float]] = {one.name: [] for one in bench.baselines}
    for seen in sent:
        for one in bench.baselines:
            every = np.ones(len(seen), np.bool_)
            firsts[one.name].append(first_over(one.suspicion(seen), limits[one.name], every))
    found: dict[str, dict[str, Any]] = {}
    for one in bench.baselines:
        got = taken[one.name]["random"]["1"]
        found[one.name] = {
            **about,
            **_slowness(firsts[one.name]),
            "wanted": len(wanted),
            "obtained": taken[one.name],
            "cost_multiplier": _baseline_cost(got, len(wanted)),
        }
    return found


def _baseline_cost(got: float, prompts: int) -> float:
    """As for the policy: days of one account to nine tenths over those without any limit."""
    wanted = WANTED * prompts
    return 1.0 if got >= wanted else round(DAYS * PER_DAY / max(got, 1), 1)


async def _baseline_takings(
    bench: Bench, corpus: Corpus, wanted: Sequence[Prompt]
) -> dict[str, dict[str, dict[str, int]]]:
    size, limits = bench.settings.size, bench.settings.thresholds
    found: dict[str, dict[str, dict[str, int]]] = {
        one.name: {way: {} for way in size.ways} for one in bench.baselines
    }
    for way in size.ways:
        for accounts in size.accounts:
            parts = shared_out(wanted, accounts, way)
            some = parts
            if len(parts) > SAMPLE:
                some = [parts[n * len(parts) // SAMPLE] for n in range(SAMPLE)]
            streams = [sweep("part", part, corpus.template, PER_DAY) for part in some]
            got = dict.fromkeys(limits, 0.0)
            for stream in streams:
                seen = await bench.sent(stream)
                for one in bench.baselines:
                    got[one.name] += obtained(one, seen, limits[one.name])
            for name, all_of_them in got.items():
                taken = round(all_of_them * len(parts) / len(some))
                found[name][way][str(accounts)] = taken
    return found


async def _ablations(bench: Bench, corpus: Corpus) -> dict[str, list[float]]:
    draws = bench.settings.size.rate_draws
    found = {"none": await _firsts(bench, bench.policy, corpus, draws)}
    for signal in signals(quick=bench.quick):
        with without(signal):
            found[signal] = await _firsts(bench, bench.policy, corpus, draws)
    for name, policy in scored(bench.policy).items():
        found[name] = await _firsts(bench, policy, corpus, draws)
    return found
