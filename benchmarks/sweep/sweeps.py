"""What happens to one sweep, and what it obtains, under the policy and every baseline."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.sweep.ablation import signals, without_signal
from benchmarks.sweep.accounts import split_among
from benchmarks.sweep.campaign import DAYS, CampaignResult, campaign
from benchmarks.sweep.context import PER_DAY, Context, Settings
from benchmarks.sweep.corpora import Corpus, Entry, Prompt, read
from benchmarks.sweep.figures import count_figures, plain, within
from benchmarks.sweep.policies import scored, without_buckets
from benchmarks.sweep.replay import replay
from benchmarks.sweep.scoring import SHIPPED, scored_with
from benchmarks.sweep.thresholds import first_over, obtained
from benchmarks.sweep.trials import wanted_of
from benchmarks.sweep.workloads import random_order, sweep_stream
from querybudget.policy.model import Policy

__all__ = ["BOUNDS", "SweepPart", "sweep_part"]

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
    """

    name: str
    figures: dict[str, Any]
    baselines: dict[str, dict[str, Any]]
    ablations: dict[str, list[float]]


def sweep_part(settings: Settings, entry: Entry) -> SweepPart:
    """Measure one sweep."""
    return asyncio.run(_part(Context(settings), read(entry)))


async def _part(context: Context, corpus: Corpus) -> SweepPart:
    entry, size = corpus.entry, context.settings.size
    about = {"class": entry.kind, "language": entry.language, "prompts": len(corpus.prompts)}
    fit, wanted = context.settings.fit_of(entry), wanted_of(context.settings, corpus)
    known: dict[str, Any] = {}
    if fit.name != SHIPPED.name:
        known["in_sample"] = _slowness(await _firsts(context, corpus, size.rate_draws))
    with scored_with(fit):
        firsts = await _firsts(context, corpus, size.draws)
        by_rate = {
            str(rate): count_figures(await _firsts(context, corpus, size.rate_draws, rate=rate))
            for rate in RATES
        }
        takings = await _takings(context, corpus, wanted)
        ablations = await _ablations(context, corpus)
    return SweepPart(
        entry.name,
        {
            **about,
            "sources": sorted(entry.sources),
            **_slowness(firsts),
            **known,
            "by_rate": by_rate,
            **takings,
        },
        await _baselines(context, corpus, wanted, about),
        ablations,
    )


def _slowness(firsts: Sequence[float]) -> dict[str, Any]:
    return {
        "queries_to_slow": count_figures(firsts),
        "slowed_within": within(firsts, BOUNDS),
        "draws": [plain(first) for first in firsts],
    }


async def _firsts(
    context: Context,
    corpus: Corpus,
    draws: int,
    *,
    rate: float = PER_DAY,
    policy: Policy | None = None,
) -> list[float]:
    """Return the queries to slow of each draw."""
    found, most = list[float](), context.settings.size.most
    for number in range(draws):
        order = random_order(corpus, number, most)
        stream = sweep_stream(f"draw {number}", order, corpus.template, rate)
        met = await replay(policy or context.policy, context.analyzer, stream, stop=True)
        found.append(met.first)
    return found


async def _takings(context: Context, corpus: Corpus, wanted: Sequence[Prompt]) -> dict[str, Any]:
    """Return what campaigns obtain in thirty days, and the cost of nine tenths of the sweep."""
    size, found = context.settings.size, dict[str, dict[str, int]]()
    for way in size.ways:
        found[way] = {}
        for accounts in size.accounts if way == "random" else size.accounts[1:2]:
            parts = split_among(wanted, accounts, way)
            haul = await campaign(context.policy, context.analyzer, parts, corpus.template, PER_DAY)
            found[way][str(accounts)] = haul.obtained
    parts = split_among(wanted, 1, "random")
    alone = await campaign(context.policy, context.analyzer, parts, corpus.template, PER_DAY)
    free = without_buckets(context.policy)
    usual = await campaign(free, context.analyzer, parts, corpus.template, PER_DAY)
    days, usual_days = _days(alone, len(wanted)), _days(usual, len(wanted))
    tokens, usual_tokens = _tokens(alone), _tokens(usual)
    return {
        "wanted": len(wanted),
        "obtained": found,
        "cost_multiplier": round(days / usual_days, 1),
        "token_multiplier": round(tokens / usual_tokens, 2),
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
    limits, size = context.settings.thresholds, context.settings.size
    draws = min(size.draws, 4)
    sent = [
        await context.sent(
            sweep_stream("draw", random_order(corpus, n, size.most), corpus.template, PER_DAY)
        )
        for n in range(draws)
    ]
    whole = await context.sent(sweep_stream("whole", wanted, corpus.template, PER_DAY))
    found: dict[str, dict[str, Any]] = {}
    for one in context.baselines:
        limit = limits[one.name]
        firsts = [first_over(one.suspicion(s), limit, np.ones(len(s), np.bool_)) for s in sent]
        taken = round(obtained(one, whole, limit))
        found[one.name] = {
            **about,
            **_slowness(firsts),
            "wanted": len(wanted),
            "obtained": {"random": {"1": taken}},
            "cost_multiplier": _baseline_cost(taken, len(wanted)),
        }
    return found


def _baseline_cost(got: float, prompts: int) -> float:
    """Return the days of one account to nine tenths over those without any limit."""
    wanted = WANTED * prompts
    return 1.0 if got >= wanted else round(DAYS * PER_DAY / max(got, 1), 1)


async def _ablations(context: Context, corpus: Corpus) -> dict[str, list[float]]:
    draws = context.settings.size.rate_draws
    found = {"none": await _firsts(context, corpus, draws)}
    for signal in signals():
        with without_signal(signal):
            found[signal] = await _firsts(context, corpus, draws)
    for name, policy in scored(context.policy).items():
        found[name] = await _firsts(context, corpus, draws, policy=policy)
    return found
