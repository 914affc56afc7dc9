"""Everybody's calls in the order of time: a campaign, and the honest callers beside it."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from benchmarks.campaign.deployment import Account, Answer, Deployment
from benchmarks.campaign.observing import OnceAnalyzer
from benchmarks.campaign.people import Caller
from benchmarks.campaign.scenarios import Scenario
from benchmarks.campaign.sweepers import Sweeper
from benchmarks.sweep.scoring import SHIPPED, score_with
from benchmarks.sweep.timing import BEGIN, DAY
from querybudget.linking.linker import Linker
from querybudget.policy.model import Policy

__all__ = ["Happened", "happen"]


LOOKS = DAY // 24
"""µs between two looks of the linker on the first two days; a deployment's are more frequent."""

LATER_LOOKS = 6 * LOOKS
"""The same after that."""


class _Actor(Protocol):
    """Somebody who calls."""

    @property
    def account(self) -> Account: ...

    @property
    def template(self) -> str: ...

    def begin(self) -> int: ...

    def next_text(self) -> str: ...

    def heard(self, now: int, answer: Answer, /) -> int | None: ...


@dataclass(frozen=True)
class Happened:
    """What happened in a scenario.

    Attributes:
        scenario: The campaign.
        places: Its places, and the accounts that they used.
        honest: The honest callers.
        calls: Calls sent.
        groups: Name of each linked account, and its group; None if the policy links nobody.
        looks: Prompts that each account of the campaign asks until it is first looked at.
        first_disturbed: When a call of the campaign was first disturbed, µs; 0 for never.
    """

    scenario: Scenario
    places: Sequence[Sweeper]
    honest: Sequence[Caller]
    calls: int
    groups: Mapping[str, str] | None = None
    looks: Sequence[int] = ()

    @property
    def first_disturbed(self) -> int:
        when = [used.disturbed for place in self.places for used in place.used if used.disturbed]
        return min(when, default=0)


async def happen(
    policy: Policy,
    analyzer: OnceAnalyzer,
    scenario: Scenario,
    places: Sequence[Sweeper],
    honest: Sequence[Caller],
) -> Happened:
    """Send all calls of a scenario to one deployment, until its last day ends."""
    actors: list[_Actor] = [*honest, *places]
    due = [(actor.begin(), number) for number, actor in enumerate(actors)]
    heapq.heapify(due)
    end, calls = BEGIN + scenario.days * DAY, 0
    deployment = Deployment(policy, analyzer, due[0][0] if due else BEGIN)
    linker, look = Linker(deployment.limiter) if policy.linking else None, BEGIN + LOOKS
    while due:
        at, number = heapq.heappop(due)
        if at >= end:
            break
        if linker is not None and at >= look:
            deployment.clock.now = max(deployment.clock.now, look)
            await linker.look()
            look = max(at, look) + (LOOKS if at < BEGIN + 2 * DAY else LATER_LOOKS)
        actor = actors[number]
        deployment.clock.now = max(deployment.clock.now, at)
        answer = await deployment.ask(actor.account, actor.next_text(), actor.template)
        calls += 1
        after = actor.heard(deployment.clock.now, answer)
        if after is not None:
            heapq.heappush(due, (after, number))
    score_with(SHIPPED)
    groups = await deployment.groups() if policy.linking else None
    return Happened(scenario, places, honest, calls, groups)
