"""Many accounts sharing out a sweep for thirty days, trying again what they did not get.

A sweeper is assumed to be clever and patient. Each account sends its part evenly; a prompt that was
refused, degraded or priced above 2 is tried again on a later day, after those never tried. An
account that got nothing of use many times in a row rests until the next day rather than pay for
nothing, and then tries ever fewer before it rests again, until something works.

Accounts whose fates cannot touch each other (no bucket budget is pooled) repeat the same
statistics: of more than `SAMPLE` only so many are sent, evenly chosen, and their sums scaled.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.sweep.corpora import Prompt
from benchmarks.sweep.replay import Desk
from benchmarks.sweep.timing import BEGIN, DAY
from querybudget.embedding.analyzer import EmbeddingAnalyzer
from querybudget.policy.model import Policy
from querybudget.units import MICRO

__all__ = ["DAYS", "SAMPLE", "Haul", "campaign"]

DAYS = 30
SAMPLE = 24
PATIENCE = (25, 3, 1)
"""Vain tries in a row before an account rests: on a first day, after one vain day, after more."""


@dataclass(slots=True)
class _Account:
    name: str
    begin: int
    pending: deque[Prompt]
    tomorrow: list[Prompt] = field(default_factory=list[Prompt])
    vain: int = 0
    vain_days: int = 0
    got: int = 0

    @property
    def weary(self) -> bool:
        """Whether it has tried in vain often enough today."""
        return self.vain >= PATIENCE[min(self.vain_days, len(PATIENCE) - 1)]

    def next_day(self, now: int) -> int:
        """Rest until the next day; when that begins for it."""
        self.vain_days = 0 if self.got else self.vain_days + 1
        self.vain = self.got = 0
        self.pending.extend(self.tomorrow)
        self.tomorrow = []
        return now + DAY - (now - self.begin) % DAY


@dataclass(frozen=True, slots=True)
class Haul:
    """What a campaign brought in.

    Attributes:
        obtained: Prompts answered at full quality and a price of at most 2.
        paid: Tokens charged for, prices included.
        times: When each was obtained, µs after the beginning, ascending; of the accounts sent.
        scale: Accounts there are for each that was sent.
    """

    obtained: int
    paid: float
    times: tuple[int, ...]
    scale: float

    def days_to(self, wanted: float) -> float | None:
        """Days until so many had been obtained; None where that is not within the campaign."""
        place = max(1, round(wanted / self.scale))
        return self.times[place - 1] / DAY if place <= len(self.times) else None


async def campaign(
    policy: Policy,
    analyzer: EmbeddingAnalyzer,
    parts: Sequence[Sequence[Prompt]],
    template: str,
    per_day: float,
    *,
    days: int = DAYS,
) -> Haul:
    """Send every account's part, day after day.

    Args:
        policy: The policy.
        analyzer: Sees the calls.
        parts: What each account is to obtain.
        template: The frame of all.
        per_day: Queries of an account, at most.
        days: How long.
    """
    sent = list(range(len(parts)))
    if not _pools(policy) and len(parts) > SAMPLE:
        sent = [n * len(parts) // SAMPLE for n in range(SAMPLE)]
    desk, end, gap = Desk(policy, analyzer, BEGIN), BEGIN + days * DAY, int(DAY / per_day)
    accounts = [
        _Account(f"sweep {n}", BEGIN + gap * n // len(parts), deque(parts[n])) for n in sent
    ]
    due = [(account.begin, number) for number, account in enumerate(accounts)]
    heapq.heapify(due)
    times, paid = list[int](), 0.0
    while due:
        at, number = heapq.heappop(due)
        account = accounts[number]
        if at >= end:
            break
        if not account.pending or account.weary:
            if account.pending or account.tomorrow:
                heapq.heappush(due, (account.next_day(at), number))
            continue
        desk.clock.now = max(desk.clock.now, at)
        prompt = account.pending.popleft()
        answer = await desk.ask(account.name, prompt.text, template)
        paid += answer.tokens * answer.price / MICRO
        if answer.full:
            times.append(at - BEGIN)
            account.vain, account.got, account.vain_days = 0, account.got + 1, 0
        else:
            account.tomorrow.append(prompt)
            account.vain += 1
        heapq.heappush(due, (at + max(gap, answer.delay), number))
    scale = len(parts) / len(sent)
    return Haul(round(len(times) * scale), paid * scale, tuple(sorted(times)), scale)


def _pools(policy: Policy) -> bool:
    """Whether one account's calls can weigh on another's."""
    return any("identity" not in budget.per for budget in policy.budgets)
