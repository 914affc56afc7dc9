"""What happens to honest callers: every identity of a corpus, over its whole stream.

The identities of a corpus share one system prompt, as users of one application do. They are sent to
one limiter together, so that a budget pooled over the template includes them all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.sweep.ablation import replaced_weights, signals, without_signal
from benchmarks.sweep.context import Context, Settings
from benchmarks.sweep.corpora import Corpus, Entry, Identity, identities, read
from benchmarks.sweep.figures import NEVER, bootstrap, interval, share
from benchmarks.sweep.policies import scored
from benchmarks.sweep.replay import replay_together
from benchmarks.sweep.workloads import honest_stream
from querybudget.policy.model import Policy

__all__ = ["KINDS", "HonestResult", "figures", "honest_part", "sampled", "shares"]

KINDS = ("person", "app", "gateway")


@dataclass(frozen=True)
class HonestResult:
    """Result of one honest identity under the policy and the baselines.

    Attributes:
        name: Corpus and number.
        kind: person, app, gateway.
        queries: Number of queries sent.
        first: Query at which it was first disturbed.
        refused: Whether a call was ever refused.
        expensive: Whether a price was ever above 2.
        prices: Prices of its answered calls.
        suspicion: Highest suspicion of each baseline.
        ablated: Whether it was disturbed without each signal; for some identities only.
    """

    name: str
    kind: str
    queries: int
    first: float
    refused: bool
    expensive: bool
    prices: NDArray[np.float32]
    suspicion: dict[str, float]
    ablated: dict[str, bool] = field(default_factory=dict[str, bool])

    @property
    def disturbed(self) -> bool:
        return self.first != NEVER


def honest_part(settings: Settings, entry: Entry) -> list[HonestResult]:
    """Return the results of all honest identities of one corpus."""
    corpus, context = read(entry), Context(settings)
    callers = sampled(identities(corpus), settings.size.identities)
    ablated = sampled(callers, settings.size.ablated)
    with replaced_weights(settings.folds.get(entry.name, {})):
        return asyncio.run(_all(context, corpus, callers, ablated))


def sampled(items: Sequence[Identity], most: int) -> list[Identity]:
    """Return at most `most` items, evenly chosen; all for 0."""
    if not most or len(items) <= most:
        return list(items)
    return [items[n * len(items) // most] for n in range(most)]


async def _all(
    context: Context, corpus: Corpus, callers: Sequence[Identity], ablated: Sequence[Identity]
) -> list[HonestResult]:
    streams = [honest_stream(caller, corpus.template) for caller in callers]
    if not streams:
        return []
    met = await replay_together(context.policy, context.analyzer, streams)
    without_one = await _ablated(context, corpus, ablated)
    found: list[HonestResult] = []
    for caller, stream, seen in zip(callers, streams, met, strict=True):
        sent = await context.sent(stream)
        found.append(
            HonestResult(
                caller.name,
                caller.kind,
                len(stream),
                seen.first,
                seen.refused,
                seen.expensive,
                seen.prices,
                {b.name: float(b.suspicion(sent).max()) for b in context.baselines},
                without_one.get(caller.name, {}),
            )
        )
    return found


async def _ablated(
    context: Context, corpus: Corpus, callers: Sequence[Identity]
) -> dict[str, dict[str, bool]]:
    """Return whether each of some callers was disturbed, by the signal left out."""
    found: dict[str, dict[str, bool]] = {caller.name: {} for caller in callers}
    streams = [honest_stream(caller, corpus.template) for caller in callers]

    async def note(name: str, policy: Policy) -> None:
        met = await replay_together(policy, context.analyzer, streams)
        for caller, seen in zip(callers, met, strict=True):
            found[caller.name][name] = seen.disturbed

    await note("none", context.policy)
    for signal in signals(quick=context.quick):
        with without_signal(signal):
            await note(signal, context.policy)
    for name, policy in scored(context.policy).items():
        await note(name, policy)
    return found


def figures(everyone: Sequence[HonestResult]) -> dict[str, dict[str, Any]]:
    """Return the figures of each class, with 95 % intervals."""
    found: dict[str, dict[str, Any]] = {}
    for kind in KINDS:
        of = [one for one in everyone if one.kind == kind]
        counts = {
            "disturbed": sum(one.disturbed for one in of),
            "refused": sum(one.refused for one in of),
            "priced_over_2": sum(one.expensive for one in of),
        }
        prices = np.concatenate([one.prices for one in of]) if of else np.ones(1)
        highest = [float(one.prices.max(initial=1)) for one in of]
        found[kind] = {
            "identities": len(of),
            "queries": sum(one.queries for one in of),
            **shares(counts, len(of)),
            "p99_price": round(float(np.quantile(prices, 0.99)), 3) if len(prices) else None,
            "p99_highest_price": round(float(np.quantile(highest, 0.99)), 3) if of else None,
            "p99_highest_price_95": bootstrap(highest, 0.99),
            "corpora_disturbed": _by_corpus(of),
        }
    return found


def shares(counts: dict[str, int], of: int) -> dict[str, Any]:
    """Return each count as a share with its interval."""
    found: dict[str, Any] = {}
    for name, count in counts.items():
        found[name] = share(count, of)
        found[f"{name}_95"] = interval(count, of)
    return found


def _by_corpus(of: Sequence[HonestResult]) -> dict[str, str]:
    """Return the corpora with disturbed identities: how many of how many."""
    found: dict[str, str] = {}
    for corpus in sorted({one.name.rpartition("/")[0] for one in of}):
        mine = [one for one in of if one.name.rpartition("/")[0] == corpus]
        if hit := sum(one.disturbed for one in mine):
            found[corpus] = f"{hit} of {len(mine)}"
    return found
