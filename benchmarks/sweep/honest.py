"""What happens to honest callers: every identity of a corpus, over its whole stream.

The identities of a corpus share one system prompt, as users of one application do. They are sent to
one limiter together, so that a budget pooled over the template includes them all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.sweep.ablation import signals, without_signal
from benchmarks.sweep.context import Context, Settings
from benchmarks.sweep.corpora import Corpus, Entry, Identity, identities, read
from benchmarks.sweep.figures import NEVER
from benchmarks.sweep.policies import scored
from benchmarks.sweep.replay import StreamResult, replay_together
from benchmarks.sweep.scoring import SHIPPED, scored_with
from benchmarks.sweep.workloads import Stream, honest_stream
from querybudget.policy.model import Policy

__all__ = ["KINDS", "STRICT", "HonestResult", "honest_part", "sampled"]

KINDS = ("person", "app", "gateway")
STRICT = ("person", "app")
"""Classes that goals and thresholds are set on; gateways are reported separately."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class HonestResult:
    """Result of one honest identity under the policy and the baselines.

    Attributes:
        name: Corpus and number.
        kind: person, app, gateway.
        sources: Where its text is from.
        language: Of its corpus.
        queries: Number of queries sent.
        first: Query at which it was first disturbed, by a fit that had not seen its sources.
        refused: Whether a call was ever refused.
        expensive: Whether a price was ever above 2.
        prices: Prices of its answered calls.
        known: The same with the shipped weights; None if they have not seen its sources either,
            and for all but some identities.
        suspicion: Highest suspicion of each baseline; for some identities only.
        ablated: Whether it was disturbed without each signal; for some identities only.
    """

    name: str
    kind: str
    sources: frozenset[str]
    language: str
    queries: int
    first: float
    refused: bool
    expensive: bool
    prices: NDArray[np.float32]
    known: StreamResult | None = None
    suspicion: dict[str, float] = field(default_factory=dict[str, float])
    ablated: dict[str, bool] = field(default_factory=dict[str, bool])

    @property
    def disturbed(self) -> bool:
        return self.first != NEVER

    @property
    def corpus(self) -> str:
        return self.name.rpartition("/")[0]


def honest_part(settings: Settings, entry: Entry) -> list[HonestResult]:
    """Return the results of the honest identities of one corpus."""
    return asyncio.run(_all(Context(settings), read(entry)))


def sampled(items: Sequence[_T], most: int) -> list[_T]:
    """Return at most `most` items, evenly chosen."""
    if len(items) <= most:
        return list(items)
    return [items[n * len(items) // most] for n in range(most)]


async def _all(context: Context, corpus: Corpus) -> list[HonestResult]:
    size, entry = context.settings.size, corpus.entry
    callers = sampled(identities(corpus), size.identities)
    streams = [honest_stream(one, corpus.template).first(size.prompts) for one in callers]
    if not streams:
        return []
    fit = context.settings.fit_of(entry)
    known: dict[int, StreamResult] = {}
    if fit.name != SHIPPED.name:
        some = _some(streams, (size.known_identities, size.prompts))
        seen = await replay_together(context.policy, context.analyzer, list(some.values()))
        known = dict(zip(some, seen, strict=True))
    with scored_with(fit):
        met = await replay_together(context.policy, context.analyzer, streams)
        without_one = await _ablated(context, _some(streams, size.ablated))
    suspected = await _suspected(context, callers, _some(streams, size.compared))
    return [
        HonestResult(
            caller.name,
            caller.kind,
            entry.sources,
            entry.language,
            len(streams[n]),
            met[n].first,
            met[n].refused,
            met[n].expensive,
            met[n].prices,
            known.get(n),
            suspected.get(n, {}),
            without_one.get(n, {}),
        )
        for n, caller in enumerate(callers)
    ]


def _some(streams: Sequence[Stream], size: tuple[int, int]) -> dict[int, Stream]:
    """Return the first calls of some streams, by their numbers."""
    number, calls = size
    return {n: streams[n].first(calls) for n in sampled(range(len(streams)), number)}


async def _suspected(
    context: Context, callers: Sequence[Identity], streams: dict[int, Stream]
) -> dict[int, dict[str, float]]:
    """Return the highest suspicion of each baseline, for persons and applications."""
    found: dict[int, dict[str, float]] = {}
    for number, stream in streams.items():
        if callers[number].kind in STRICT:
            sent = await context.sent(stream)
            suspicion = {b.name: float(b.suspicion(sent).max()) for b in context.baselines}
            found[number] = suspicion
    return found


async def _ablated(context: Context, streams: dict[int, Stream]) -> dict[int, dict[str, bool]]:
    """Return whether each of some callers was disturbed, by the signal left out."""
    found: dict[int, dict[str, bool]] = {number: {} for number in streams}

    async def note(name: str, policy: Policy) -> None:
        met = await replay_together(policy, context.analyzer, list(streams.values()))
        for number, seen in zip(streams, met, strict=True):
            found[number][name] = seen.disturbed

    await note("none", context.policy)
    for signal in signals():
        with without_signal(signal):
            await note(signal, context.policy)
    for name, policy in scored(context.policy).items():
        await note(name, policy)
    return found
