"""One deployment: honest callers of every source behind one limiter, and sweeps that join them.

It shows what a threshold set by a deployment's own callers does (`adaptive`). The honest callers
begin at once; each sweep opens one account when they have been there for three weeks. Everybody is
scored by a fit that has not seen their source.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from benchmarks.sweep.context import PER_DAY, Context, Settings
from benchmarks.sweep.corpora import Entry, identities, read
from benchmarks.sweep.figures import NEVER, interval, share, within
from benchmarks.sweep.honest import STRICT, sampled
from benchmarks.sweep.replay import StreamResult, replay_together
from benchmarks.sweep.scoring import Fit
from benchmarks.sweep.timing import BEGIN, DAY
from benchmarks.sweep.workloads import Stream, honest_stream, random_order, sweep_stream
from querybudget.policy.model import Adaptive, Policy
from querybudget.units import MICRO

__all__ = ["one_deployment"]

DISTURB = MICRO // 200
JOINED = BEGIN + 21 * DAY
SENT = 300
"""Queries of each sweep."""

BOUNDS = (50, 100, 200, 300)

Who = tuple[str, Stream, Fit]
"""Class, calls and fit of an account."""


def one_deployment(settings: Settings, entries: Sequence[Entry]) -> dict[str, Any]:
    """Return who is disturbed in a deployment, by the policy as it is and with `adaptive`."""
    return asyncio.run(_deployments(Context(settings), entries))


async def _deployments(context: Context, entries: Sequence[Entry]) -> dict[str, Any]:
    everyone = [one for entry in entries for one in _accounts(context.settings, entry)]
    policies: dict[str, Policy] = {
        "shipped threshold": replace(context.policy, adaptive=None),
        "own threshold": replace(
            context.policy, adaptive=context.policy.adaptive or Adaptive(disturb=DISTURB)
        ),
    }
    found: dict[str, Any] = {}
    for name, policy in policies.items():
        met = await replay_together(
            policy,
            context.analyzer,
            [stream for _, stream, _ in everyone],
            fits=[fit for _, _, fit in everyone],
        )
        found[name] = _figures([kind for kind, _, _ in everyone], met)
    return found


def _accounts(settings: Settings, entry: Entry) -> list[Who]:
    """Return some callers of a corpus, or one sweep."""
    corpus, fit = read(entry), settings.fit_of(entry)
    if not entry.honest:
        order = random_order(corpus, 0, SENT)
        name = f"sweep {entry.name}"
        stream = sweep_stream(name, order, corpus.template, PER_DAY, begin=JOINED)
        return [(entry.kind, stream, fit)]
    if entry.kind not in STRICT:
        return []
    callers, calls = settings.size.deployed
    some = sampled(identities(corpus), callers)
    streams = [honest_stream(one, corpus.template).first(calls) for one in some]
    return [(entry.kind, stream, fit) for stream in streams]


def _figures(kinds: Sequence[str], met: Sequence[StreamResult]) -> dict[str, Any]:
    honest = [one for kind, one in zip(kinds, met, strict=True) if kind in STRICT]
    hits = sum(one.disturbed for one in honest)
    found: dict[str, Any] = {
        "honest": {
            "accounts": len(honest),
            "disturbed": share(hits, len(honest)),
            "disturbed_95": interval(hits, len(honest)),
            "refused": share(sum(one.refused for one in honest), len(honest)),
        }
    }
    for wanted in ("broad", "narrow"):
        firsts = [one.first for kind, one in zip(kinds, met, strict=True) if kind == wanted]
        found[wanted] = {
            "sweeps": len(firsts),
            "slowed_within": within(firsts, BOUNDS),
            "never": sum(first == NEVER for first in firsts),
        }
    return found
