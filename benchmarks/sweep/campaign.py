"""A campaign: many accounts share a sweep for thirty days and retry what they did not get.

The sweeper is assumed to be clever and patient. Each account sends its part evenly; a prompt that
was refused, degraded or priced above 2 is retried on a later day, after those never tried. An
account with many failures in a row rests until the next day rather than pay for nothing, and then
tries fewer before it rests again, until something works.

Accounts that cannot affect each other (no bucket budget is pooled) repeat the same statistics: at
most `SAMPLE` of them are simulated, evenly chosen, and their sums are scaled.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.sweep.analysis import FittedAnalyzer
from benchmarks.sweep.bodies import Request, asked
from benchmarks.sweep.corpora import Prompt
from benchmarks.sweep.policies import has_pools
from benchmarks.sweep.simulation import Simulation
from benchmarks.sweep.timing import BEGIN, DAY
from querybudget.policy.model import Policy
from querybudget.units import MICRO

__all__ = ["DAYS", "SAMPLE", "CampaignResult", "campaign"]

DAYS = 30
SAMPLE = 24
PATIENCE = (25, 3, 1)
"""Failures in a row before an account rests: on a first day, after one failed day, after more."""


@dataclass(slots=True)
class _Account:
    name: str
    begin: int
    pending: deque[Prompt]
    tomorrow: list[Prompt] = field(default_factory=list[Prompt])
    failures: int = 0
    failed_days: int = 0
    got: int = 0

    @property
    def out_of_patience(self) -> bool:
        """Whether it rests for today."""
        return self.failures >= PATIENCE[min(self.failed_days, len(PATIENCE) - 1)]

    def next_day(self, now: int) -> int:
        """Rest until the account's next day, and return when that begins."""
        self.failed_days = 0 if self.got else self.failed_days + 1
        self.failures = self.got = 0
        self.pending.extend(self.tomorrow)
        self.tomorrow = []
        return now + DAY - (now - self.begin) % DAY


@dataclass(frozen=True, slots=True)
class CampaignResult:
    """Result of a campaign.

    Attributes:
        obtained: Prompts answered at full quality and a price of at most 2.
        paid: Tokens charged, prices included.
        times: When each was obtained, µs from the start, ascending; of the accounts simulated.
        scale: Accounts per account simulated.
    """

    obtained: int
    paid: float
    times: tuple[int, ...]
    scale: float

    def days_to(self, wanted: float) -> float | None:
        """Return the days until `wanted` prompts were obtained; None if they were not."""
        place = max(1, round(wanted / self.scale))
        return self.times[place - 1] / DAY if place <= len(self.times) else None


async def campaign(
    policy: Policy,
    analyzer: FittedAnalyzer,
    parts: Sequence[Sequence[Prompt]],
    template: str,
    per_day: float,
    *,
    days: int = DAYS,
) -> CampaignResult:
    """Send every account's part, day after day.

    Args:
        policy: The policy.
        analyzer: Analyses the calls.
        parts: Prompts of each account.
        template: System prompt of all.
        per_day: Maximum of queries per account and day.
        days: Duration.
    """
    sent = list(range(len(parts)))
    if not has_pools(policy) and len(parts) > SAMPLE:
        sent = [n * len(parts) // SAMPLE for n in range(SAMPLE)]
    simulation, end, gap = (
        Simulation(policy, analyzer, BEGIN),
        BEGIN + days * DAY,
        int(DAY / per_day),
    )
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
        if not account.pending or account.out_of_patience:
            if account.pending or account.tomorrow:
                heapq.heappush(due, (account.next_day(at), number))
            continue
        simulation.clock.now = max(simulation.clock.now, at)
        prompt = account.pending.popleft()
        answer = await simulation.ask(account.name, Request(asked(prompt.text, template)))
        paid += answer.tokens * answer.price / MICRO
        if answer.full:
            times.append(at - BEGIN)
            account.failures, account.got, account.failed_days = 0, account.got + 1, 0
        else:
            account.tomorrow.append(prompt)
            account.failures += 1
        heapq.heappush(due, (at + max(gap, answer.delay), number))
    scale = len(parts) / len(sent)
    return CampaignResult(round(len(times) * scale), paid * scale, tuple(sorted(times)), scale)
