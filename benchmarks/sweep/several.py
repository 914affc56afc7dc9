"""Applications behind one key, and thin accounts.

Applications behind one key are drawn from different corpora that one fit has not seen, and sent
under their own system prompts or under none. Each is harmless alone: keys with one that is
disturbed by itself are left out. Thin accounts send their first calls only.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

from benchmarks.sweep.context import PER_DAY, Context, Settings
from benchmarks.sweep.corpora import Entry, Identity, identities, read, template
from benchmarks.sweep.figures import NEVER, interval, share
from benchmarks.sweep.honest import STRICT, sampled
from benchmarks.sweep.policies import only_identities
from benchmarks.sweep.replay import replay, replay_together
from benchmarks.sweep.scoring import Fit, scored_with
from benchmarks.sweep.workloads import Stream, honest_stream, merged, shuffled, sweep_stream

__all__ = ["APPLICATIONS", "CALLS", "several_applications", "thin_accounts", "thin_shares"]

APPLICATIONS = (2, 3, 5)
CALLS = (6, 8, 15, 26)
"""Calls of thin accounts."""


def several_applications(settings: Settings, entries: Sequence[Entry]) -> dict[str, Any]:
    """Return how many keys with several applications behind them are disturbed."""
    return asyncio.run(_several(Context(settings), entries))


async def _several(context: Context, entries: Sequence[Entry]) -> dict[str, Any]:
    keys, _ = context.settings.size.mixes
    held = _by_fit(context, [entry for entry in entries if entry.kind == "app"])
    found: dict[str, Any] = {}
    for number in APPLICATIONS:
        fitting = [name for name, (_, one) in held.items() if len(one) >= number]
        for own in ("own", "none"):
            met = list[bool]()
            for place in range(keys if fitting else 0):
                draw = random.Random(f"applications {number} {own} {place}")
                fit, apps = held[draw.choice(fitting)]
                with scored_with(fit):
                    met += await _key(context, draw, apps, number, own)
            found[f"{number} {own}"] = {"keys": len(met), **_share(sum(met), len(met))}
    return found


async def _key(
    context: Context,
    draw: random.Random,
    apps: dict[str, list[Identity]],
    number: int,
    own: str,
) -> list[bool]:
    """Return whether a key with so many applications is disturbed; empty if one is by itself."""
    streams = [
        _application(draw, draw.choice(apps[name]), own, context.settings.size.mixes[1])
        for name in draw.sample(sorted(apps), number)
    ]
    for stream in streams:
        if (await replay(context.policy, context.analyzer, stream, stop=True)).disturbed:
            return []
    key = merged(streams, "shared key")
    return [(await replay(context.policy, context.analyzer, key, stop=True)).disturbed]


def _by_fit(
    context: Context, entries: Sequence[Entry]
) -> dict[str, tuple[Fit, dict[str, list[Identity]]]]:
    """Return, by the fit that scores them, some applications of each corpus."""
    found: dict[str, tuple[Fit, dict[str, list[Identity]]]] = {}
    for entry in entries:
        cut = sampled(identities(read(entry)), 6)
        if cut:
            fit = context.settings.fit_of(entry)
            found.setdefault(fit.name, (fit, {}))[1][entry.name] = cut
    return found


def _application(draw: random.Random, one: Identity, own: str, each: int) -> Stream:
    """Return a part of an application's calls, in a day or two."""
    begin = draw.randrange(max(1, len(one.prompts) - each))
    system_prompt = template(one.name.rpartition("/")[0]) if own == "own" else ""
    prompts = one.prompts[begin : begin + each]
    return sweep_stream(one.name, prompts, system_prompt, draw.uniform(0.5, 2) * PER_DAY)


def thin_accounts(settings: Settings, entry: Entry) -> tuple[Entry, list[float]]:
    """Return at which call each thin account of a corpus is first disturbed, by itself."""
    with scored_with(settings.fit_of(entry)):
        return entry, asyncio.run(_thin(Context(settings), entry))


async def _thin(context: Context, entry: Entry) -> list[float]:
    corpus, most = read(entry), context.settings.size.thin
    if entry.honest:
        streams = [
            honest_stream(one, corpus.template).first(CALLS[-1])
            for one in sampled(identities(corpus), most)
        ]
    else:
        prompts = shuffled(corpus.prompts, f"thin {entry.name}")
        streams = [
            sweep_stream(f"thin {n}", prompts[n * CALLS[-1] :][: CALLS[-1]], corpus.template, 26)
            for n in range(min(most, len(prompts) // CALLS[-1]))
        ]
    if not streams:
        return []
    policy = only_identities(context.policy)
    met = await replay_together(policy, context.analyzer, streams)
    return [one.first for one in met]


def thin_shares(parts: Sequence[tuple[Entry, list[float]]]) -> dict[str, Any]:
    """Return the share of thin accounts disturbed within so many calls, by class."""
    found: dict[str, Any] = {}
    for calls in CALLS:
        found[str(calls)] = {}
        for kind in (*STRICT, "broad", "narrow"):
            firsts = [first for entry, some in parts if entry.kind == kind for first in some]
            hits = sum(first != NEVER and first <= calls for first in firsts)
            found[str(calls)][kind] = {"accounts": len(firsts), **_share(hits, len(firsts))}
    return found


def _share(hits: int, of: int) -> dict[str, Any]:
    return {"disturbed": share(hits, of), "disturbed_95": interval(hits, of)}
