"""Many accounts with few queries each in one pool: a sweep, and honest groups.

The bucket budgets of the policy are moved from the identity to a pool (an organisation, a network
or a template: the ledger treats them alike). Each account sends 26 queries in a day, all accounts
at the same time. A group of honest persons and applications is drawn at random from different
corpora; a second kind is drawn from one corpus, with its one template.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections.abc import Sequence
from typing import Any

from benchmarks.sweep.ablation import replaced_weights
from benchmarks.sweep.accounts import split_among
from benchmarks.sweep.context import Context, Settings
from benchmarks.sweep.corpora import Entry, Identity, Prompt, identities, read, template
from benchmarks.sweep.figures import NEVER, middle, plain
from benchmarks.sweep.policies import pooled
from benchmarks.sweep.replay import Simulation
from benchmarks.sweep.timing import BEGIN, DAY
from benchmarks.sweep.workloads import shuffled
from querybudget.policy.model import Policy

__all__ = ["FACTOR", "PER_ACCOUNT", "SIZES", "honest_pools", "sweep_pools"]

PER_ACCOUNT = 26
SIZES = (1, 2, 5, 10, 20, 40, 80)
FACTOR = 4
"""Limit of a pool, in limits of one identity."""

Member = tuple[Sequence[Prompt], str]
"""Prompts and template of an account."""


def sweep_pools(settings: Settings, entry: Entry) -> dict[str, Any]:
    """Return the number of accounts of a sweep until their pool is slowed."""
    with replaced_weights(settings.folds.get(entry.name, {})):
        return asyncio.run(_sweep_pools(Context(settings), entry))


def honest_pools(settings: Settings, entries: Sequence[Entry]) -> dict[str, Any]:
    """Return how many honest groups of each size are slowed, and the largest of them."""
    return asyncio.run(_honest_pools(Context(settings), entries))


async def _sweep_pools(context: Context, entry: Entry) -> dict[str, Any]:
    corpus, policy = read(entry), pooled(context.policy, FACTOR)
    found: dict[str, Any] = {"class": entry.kind}
    for way in ("random", "topic"):
        needed: list[float] = []
        for number in range(context.settings.size.rate_draws):
            prompts = shuffled(corpus.prompts, f"pool {number}")
            count = min(SIZES[-1], len(prompts) // PER_ACCOUNT)
            most = split_among(prompts[: count * PER_ACCOUNT], count, way)
            members: list[Member] = [(part, corpus.template) for part in most]
            needed.append(await _needed(context, policy, members))
        found[way] = {
            "accounts": [plain(n) for n in needed],
            "median": plain(middle(needed)),
        }
    return found


async def _needed(context: Context, policy: Policy, members: Sequence[Member]) -> float:
    """Return the smallest number of accounts that are slowed together in a day."""
    for size in SIZES:
        if size > len(members):
            break
        if await _slowed(context, policy, members[:size]):
            return size
    return NEVER


async def _slowed(context: Context, policy: Policy, members: Sequence[Member]) -> bool:
    """Return whether a member of the pool is disturbed within a day."""
    simulation = Simulation(policy, context.analyzer, BEGIN)
    gap = DAY // PER_ACCOUNT
    due = [(BEGIN + gap * n // len(members), n, 0) for n in range(len(members))]
    heapq.heapify(due)
    while due:
        at, number, place = heapq.heappop(due)
        prompts, system_prompt = members[number]
        if place >= min(len(prompts), PER_ACCOUNT):
            continue
        simulation.clock.now = at
        answer = await simulation.ask(
            f"member {number}", prompts[place].text, system_prompt, pool="pool"
        )
        if answer.disturbed:
            return True
        heapq.heappush(due, (at + gap, number, place + 1))
    return False


async def _honest_pools(context: Context, entries: Sequence[Entry]) -> dict[str, Any]:
    policy, tries = pooled(context.policy, FACTOR), context.settings.size.pools
    by_corpus = {e.name: _members(e) for e in entries if e.honest and e.kind != "gateway"}
    groups = {"mixed": [m for found in by_corpus.values() for m in found]}
    groups |= {name: found for name, found in by_corpus.items() if len(found) >= SIZES[3]}
    result: dict[str, Any] = {}
    for kind in ("mixed", "one_corpus"):
        tried: dict[str, str] = {}
        worst = 0
        for size in SIZES[1:]:
            slowed = of = 0
            for number in range(tries):
                members = _group(groups, kind, size, number)
                if members is None:
                    continue
                of += 1
                hit = await _slowed(context, policy, members)
                slowed += hit
                worst = max(worst, size if hit else 0)
            tried[str(size)] = f"{slowed} of {of}"
        result[kind] = {"slowed": tried, "largest_slowed": worst}
    return result


def _group(
    groups: dict[str, list[Member]], kind: str, size: int, number: int
) -> list[Member] | None:
    draw = random.Random(f"group {kind} {size} {number}")
    if kind == "mixed":
        held = groups["mixed"]
        return draw.sample(held, size) if size <= len(held) else None
    fitting = sorted(name for name in groups if name != "mixed" and len(groups[name]) >= size)
    return draw.sample(groups[draw.choice(fitting)], size) if fitting else None


def _members(entry: Entry) -> list[Member]:
    """Return the first prompts of every identity."""
    corpus = read(entry)
    cut: list[Identity] = identities(corpus)
    system_prompt = "" if entry.kind == "person" else template(entry.name)
    return [(one.prompts[:PER_ACCOUNT], system_prompt) for one in cut]
