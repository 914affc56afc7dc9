"""What happens to one sweep, and what it obtains, under the policy and every baseline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.sweep.ablation import replaced_weights, signals, without_signal
from benchmarks.sweep.accounts import split_among
from benchmarks.sweep.campaign import DAYS, SAMPLE, CampaignResult, campaign
from benchmarks.sweep.context import PER_DAY, Context, Settings
from benchmarks.sweep.corpora import Corpus, Entry, Prompt, read, template
from benchmarks.sweep.dilution import dilution
from benchmarks.sweep.figures import count_figures, plain, within
from benchmarks.sweep.policies import scored, without_buckets
from benchmarks.sweep.replay import replay
from benchmarks.sweep.thresholds import first_over, obtained
from benchmarks.sweep.workloads import random_order, shuffled, sweep_stream
from querybudget.policy.model import Policy

__all__ = ["BOUNDS", "WANTED", "SweepPart", "sweep_part"]

BOUNDS = (50, 100, 200, 300, 500, 1_000, 2_000)
RATES = (26, 10_000)
WANTED = 0.9
"""Share of a sweep whose cost is reported."""


@dataclass(frozen=True)
class SweepPart:
    """Results of one sweep.

    Attributes:
        name: The corpus.
        figures: Figures under the policy.
        baselines: The same figures by baseline.
        ablations: For each signal left out, queries to slow of each draw.
        dilution: Result of `dilution.dilution`.
    """

    name: str
    figures: dict[str, Any]
    baselines: dict[str, dict[str, Any]]
    ablations: dict[str, list[float]]
    dilution: dict[str, Any]


def sweep_part(settings: Settings, entry: Entry) -> SweepPart:
    """Measure one sweep."""
    with replaced_weights(settings.folds.get(entry.name, {})):
        return asyncio.run(_part(Context(settings), read(entry)))


async def _part(context: Context, corpus: Corpus) -> SweepPart:
    entry, size = corpus.entry, context.settings.size
    about = {"class": entry.kind, "language": entry.language, "prompts": len(corpus.prompts)}
    wanted = corpus.prompts
    if size.prompts and len(wanted) > size.prompts:
        wanted = shuffled(wanted, f"fewer {entry.name}")[: size.prompts]
    firsts = await _firsts(context, context.policy, corpus, size.draws)
    others = {
        str(rate): count_figures(
            await _firsts(context, context.policy, corpus, size.rate_draws, per_day=rate)
        )
        for rate in RATES
    }
    rephrased = await _firsts(
        context, context.policy, corpus, size.rate_draws, templates=_paraphrases
    )
    return SweepPart(
        entry.name,
        {
            **about,
            **_slowness(firsts),
            "by_rate": others,
            "paraphrased_template": count_figures(rephrased),
            **await _takings(context, corpus, wanted),
        },
        await _baselines(context, corpus, wanted, about),
        await _ablations(context, corpus),
        await dilution(context, corpus),
    )


def _slowness(firsts: Sequence[float]) -> dict[str, Any]:
    return {
        "queries_to_slow": count_figures(firsts),
        "slowed_within": within(firsts, BOUNDS),
        "draws": [plain(first) for first in firsts],
    }


async def _firsts(
    context: Context,
    policy: Policy,
    corpus: Corpus,
    draws: int,
    *,
    per_day: float = PER_DAY,
    templates: Callable[[Corpus, int], tuple[str, ...]] | None = None,
) -> list[float]:
    """Return the queries to slow of each draw."""
    found, most = list[float](), context.settings.size.most
    for number in range(draws):
        stream = sweep_stream(
            f"draw {number}", random_order(corpus, number, most), corpus.template, per_day
        )
        if templates is not None:
            stream = stream.with_templates(templates(corpus, len(stream)))
        found.append((await replay(policy, context.analyzer, stream, stop=True)).first)
    return found


def _paraphrases(corpus: Corpus, count: int) -> tuple[str, ...]:
    """Return a paraphrased template for every query, fifty wordings in all."""
    return tuple(template(f"{corpus.entry.name} {number % 50}") for number in range(count))


async def _takings(context: Context, corpus: Corpus, wanted: Sequence[Prompt]) -> dict[str, Any]:
    """Return what campaigns obtain in thirty days, and the cost of nine tenths of the sweep."""
    size, found = context.settings.size, dict[str, dict[str, int]]()
    alone: CampaignResult | None = None
    account_days = dict[str, float]()
    for way in size.ways:
        found[way] = {}
        for accounts in size.accounts:
            parts = split_among(wanted, accounts, way)
            haul = await campaign(context.policy, context.analyzer, parts, corpus.template, PER_DAY)
            found[way][str(accounts)] = haul.obtained
            if way == "random":
                account_days[str(accounts)] = round(len(parts) * _days(haul, len(wanted)), 2)
                alone = alone or haul
    assert alone is not None
    free = without_buckets(context.policy)
    parts = split_among(wanted, 1, "random")
    usual = await campaign(free, context.analyzer, parts, corpus.template, PER_DAY)
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


def _days(haul: CampaignResult, prompts: int) -> float:
    """Return the days of one account to nine tenths, extrapolated beyond the campaign."""
    wanted = WANTED * prompts
    exact = haul.days_to(wanted)
    return max(exact, 1e-3) if exact is not None else DAYS * wanted / max(haul.obtained, 1)


def _tokens(haul: CampaignResult) -> float:
    return haul.paid / max(haul.obtained, 1)


async def _baselines(
    context: Context, corpus: Corpus, wanted: Sequence[Prompt], about: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    limits, most = context.settings.thresholds, context.settings.size.most
    draws = [
        sweep_stream(f"draw {number}", random_order(corpus, number, most), corpus.template, PER_DAY)
        for number in range(context.settings.size.draws)
    ]
    sent = [await context.sent(stream) for stream in draws]
    taken = await _baseline_takings(context, corpus, wanted)
    firsts: dict[str, list[float]] = {one.name: [] for one in context.baselines}
    for seen in sent:
        for one in context.baselines:
            every = np.ones(len(seen), np.bool_)
            firsts[one.name].append(first_over(one.suspicion(seen), limits[one.name], every))
    found: dict[str, dict[str, Any]] = {}
    for one in context.baselines:
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
    """Return the days of one account to nine tenths over those without any limit."""
    wanted = WANTED * prompts
    return 1.0 if got >= wanted else round(DAYS * PER_DAY / max(got, 1), 1)


async def _baseline_takings(
    context: Context, corpus: Corpus, wanted: Sequence[Prompt]
) -> dict[str, dict[str, dict[str, int]]]:
    size, limits = context.settings.size, context.settings.thresholds
    found: dict[str, dict[str, dict[str, int]]] = {
        one.name: {way: {} for way in size.ways} for one in context.baselines
    }
    for way in size.ways:
        for accounts in size.accounts:
            parts = split_among(wanted, accounts, way)
            some = parts
            if len(parts) > SAMPLE:
                some = [parts[n * len(parts) // SAMPLE] for n in range(SAMPLE)]
            streams = [sweep_stream("part", part, corpus.template, PER_DAY) for part in some]
            got = dict.fromkeys(limits, 0.0)
            for stream in streams:
                seen = await context.sent(stream)
                for one in context.baselines:
                    got[one.name] += obtained(one, seen, limits[one.name])
            for name, all_of_them in got.items():
                taken = round(all_of_them * len(parts) / len(some))
                found[name][way][str(accounts)] = taken
    return found


async def _ablations(context: Context, corpus: Corpus) -> dict[str, list[float]]:
    draws = context.settings.size.rate_draws
    found = {"none": await _firsts(context, context.policy, corpus, draws)}
    for signal in signals(quick=context.quick):
        with without_signal(signal):
            found[signal] = await _firsts(context, context.policy, corpus, draws)
    for name, policy in scored(context.policy).items():
        found[name] = await _firsts(context, policy, corpus, draws)
    return found
