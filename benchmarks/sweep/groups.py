"""Honest groups that are judged together: an organisation, a network, one system prompt, none.

Every member sends 26 queries in a day, all at the same time, and all are in one organisation and
one network. Only the policy's pooled budgets hold, so that nobody is disturbed for himself. A mixed
group is drawn from all honest persons and applications; a community from one corpus. They send the
same system prompt or none. Each member is scored by a fit that has not seen its sources.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.sweep.context import Context, Settings
from benchmarks.sweep.corpora import Entry, Prompt, identities, read, template
from benchmarks.sweep.figures import interval, share
from benchmarks.sweep.honest import STRICT
from benchmarks.sweep.policies import has_pools, only_pools
from benchmarks.sweep.replay import replay_together
from benchmarks.sweep.scoring import Fit
from benchmarks.sweep.timing import BEGIN, DAY
from benchmarks.sweep.workloads import Stream, sweep_stream

__all__ = ["KINDS", "PER_MEMBER", "SIZES", "Member", "group_of", "honest_groups"]

PER_MEMBER = 26
SIZES = (2, 5, 10, 20, 40, 80, 200, 1_000)
KINDS = ("mixed", "community", "mixed_no_template")
MEMBERS = 400
"""Most members of one corpus: consecutive slices of its identities."""


@dataclass(frozen=True)
class Member:
    """One member of a group."""

    prompts: Sequence[Prompt]
    fit: Fit


def honest_groups(settings: Settings, entries: Sequence[Entry], kind: str) -> dict[str, Any]:
    """Return how many honest groups of each size are disturbed as pools."""
    return asyncio.run(_groups(Context(settings), entries, kind))


async def _groups(context: Context, entries: Sequence[Entry], kind: str) -> dict[str, Any]:
    policy, size = only_pools(context.policy), context.settings.size
    members = {e.name: _members(context, e) for e in entries if e.kind in STRICT}
    found: dict[str, Any] = {}
    for count in SIZES:
        if count > size.largest or not has_pools(policy):
            continue
        hits = of = touched = 0
        for number in range(_tries(size.pools, count)):
            group = group_of(members, kind, count, number)
            if group is None:
                continue
            streams = [_stream(one, n, kind, count) for n, one in enumerate(group)]
            fits = [one.fit for one in group]
            met = await replay_together(policy, context.analyzer, streams, pool="group", fits=fits)
            slowed = sum(one.disturbed for one in met)
            hits, of, touched = hits + (slowed > 0), of + 1, touched + slowed
        found[str(count)] = {
            "groups": of,
            "slowed": hits,
            "share": share(hits, of),
            "share_95": interval(hits, of),
            "members_slowed": touched,
        }
    return found


def _tries(pools: int, count: int) -> int:
    """Return how many groups are drawn: fewer of the large ones."""
    return max(1, pools // (1 if count <= 80 else 3 if count <= 200 else 6))


def _stream(member: Member, number: int, kind: str, count: int) -> Stream:
    system_prompt = "" if kind == "mixed_no_template" else template("a group")
    begin = BEGIN + DAY // PER_MEMBER * number // count
    return sweep_stream(f"member {number}", member.prompts, system_prompt, PER_MEMBER, begin=begin)


def group_of(
    members: dict[str, list[Member]], kind: str, count: int, number: int
) -> list[Member] | None:
    draw = random.Random(f"group {kind} {count} {number}")
    if kind == "community":
        fitting = sorted(name for name, held in members.items() if len(held) >= count)
        return draw.sample(members[draw.choice(fitting)], count) if fitting else None
    # A corpus is drawn first, so that large ones are not the whole group.
    left = {name: draw.sample(held, len(held)) for name, held in sorted(members.items()) if held}
    drawn: list[Member] = []
    while left and len(drawn) < count:
        name = draw.choice(list(left))
        drawn.append(left[name].pop())
        if not left[name]:
            del left[name]
    return drawn if len(drawn) == count else None


def _members(context: Context, entry: Entry) -> list[Member]:
    """Return slices of every identity's prompts."""
    fit = context.settings.fit_of(entry)
    found = [
        Member(one.prompts[begin : begin + PER_MEMBER], fit)
        for one in identities(read(entry))
        for begin in range(0, len(one.prompts) - PER_MEMBER // 2, PER_MEMBER)
    ]
    random.Random(f"members {entry.name}").shuffle(found)
    return found[:MEMBERS]
