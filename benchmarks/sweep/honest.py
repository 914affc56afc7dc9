"""What honest callers meet: every identity of a corpus, its whole stream.

The identities of a corpus have one frame, as the users of one application have; they are sent to
one limiter together, so that a budget pooled over the template sees them all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.sweep.ablation import calibrated, signals, without
from benchmarks.sweep.bench import Bench, Settings
from benchmarks.sweep.corpora import Corpus, Entry, Identity, identities, read
from benchmarks.sweep.figures import NEVER, bootstrap, interval, share
from benchmarks.sweep.policies import scored
from benchmarks.sweep.replay import replay_together
from benchmarks.sweep.streams import honest
from querybudget.policy.model import Policy

__all__ = ["KINDS", "Honest", "figures", "honest_part", "sampled", "shares"]

KINDS = ("person", "app", "gateway")


@dataclass(frozen=True)
class Honest:
    """One honest identity, what it met, and how suspect the baselines ever found it.

    Attributes:
        name: Corpus and number.
        kind: person, app, gateway.
        queries: How many it sent.
        first: Query at which it was first disturbed.
        refused: Whether ever.
        dear: Whether a price was ever above 2.
        prices: Of its answered calls.
        suspicion: The highest of each baseline.
        ablated: Whether it was disturbed, without each signal; of some identities only.
    """

    name: str
    kind: str
    queries: int
    first: float
    refused: bool
    dear: bool
    prices: NDArray[np.float32]
    suspicion: dict[str, float]
    ablated: dict[str, bool] = field(default_factory=dict[str, bool])

    @property
    def disturbed(self) -> bool:
        return self.first != NEVER


def honest_part(settings: Settings, entry: Entry) -> list[Honest]:
    """All honest identities of one corpus."""
    corpus, bench = read(entry), Bench(settings)
    callers = sampled(identities(corpus), settings.size.identities)
    ablated = sampled(callers, settings.size.ablated)
    with calibrated(settings.folds.get(entry.name, {})):
        return asyncio.run(_all(bench, corpus, callers, ablated))


def sampled(items: Sequence[Identity], most: int) -> list[Identity]:
    """At most so many, evenly chosen; all for 0."""
    if not most or len(items) <= most:
        return list(items)
    return [items[n * len(items) // most] for n in range(most)]


async def _all(
    bench: Bench, corpus: Corpus, callers: Sequence[Identity], ablated: Sequence[Identity]
) -> list[Honest]:
    streams = [honest(caller, corpus.template) for caller in callers]
    if not streams:
        return []
    met = await replay_together(bench.policy, bench.analyzer, streams)
    without_one = await _ablated(bench, corpus, ablated)
    found: list[Honest] = []
    for caller, stream, seen in zip(callers, streams, met, strict=True):
        sent = await bench.sent(stream)
        found.append(
            Honest(
                caller.name,
                caller.kind,
                len(stream),
                seen.first,
                seen.refused,
                seen.dear,
                seen.prices,
                {b.name: float(b.suspicion(sent).max()) for b in bench.baselines},
                without_one.get(caller.name, {}),
            )
        )
    return found


async def _ablated(
    bench: Bench, corpus: Corpus, callers: Sequence[Identity]
) -> dict[str, dict[str, bool]]:
    """Of some callers, among themselves: whether each was disturbed, by what was left out."""
    found: dict[str, dict[str, bool]] = {caller.name: {} for caller in callers}
    streams = [honest(caller, corpus.template) for caller in callers]

    async def note(name: str, policy: Policy) -> None:
        met = await replay_together(policy, bench.analyzer, streams)
        for caller, seen in zip(callers, met, strict=True):
            found[caller.name][name] = seen.disturbed

    await note("none", bench.policy)
    for signal in signals(quick=bench.quick):
        with without(signal):
            await note(signal, bench.policy)
    for name, policy in scored(bench.policy).items():
        await note(name, policy)
    return found


def figures(everyone: Sequence[Honest]) -> dict[str, dict[str, Any]]:
    """What is reported of each class, with 95 % intervals."""
    found: dict[str, dict[str, Any]] = {}
    for kind in KINDS:
        of = [one for one in everyone if one.kind == kind]
        counts = {
            "disturbed": sum(one.disturbed for one in of),
            "refused": sum(one.refused for one in of),
            "priced_over_2": sum(one.dear for one in of),
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
    """Each count as a share, and its interval beside it."""
    found: dict[str, Any] = {}
    for name, count in counts.items():
        found[name] = share(count, of)
        found[f"{name}_95"] = interval(count, of)
    return found


def _by_corpus(of: Sequence[Honest]) -> dict[str, str]:
    """Corpora with disturbed identities: how many of how many."""
    found: dict[str, str] = {}
    for corpus in sorted({one.name.rpartition("/")[0] for one in of}):
        mine = [one for one in of if one.name.rpartition("/")[0] == corpus]
        if hit := sum(one.disturbed for one in mine):
            found[corpus] = f"{hit} of {len(mine)}"
    return found
