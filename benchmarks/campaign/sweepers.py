"""Accounts of a campaign: they ask their prompts, retry what they did not get, or are replaced.

The sweeper is clever and patient, as in `benchmarks.sweep.campaign`: what was refused, degraded or
priced above 2 is asked again on a later day, after what was never tried. An account with many
failures in a row rests until the next day, and then tries fewer. Where accounts are replaced, the
first failure ends an account, and an hour later a fresh one goes on with what is left.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle

from benchmarks.campaign.deployment import Account, Answer
from benchmarks.campaign.rhythms import Rhythm
from benchmarks.campaign.scenarios import Scenario
from benchmarks.campaign.templates import template_of
from benchmarks.sweep.campaign import PATIENCE
from benchmarks.sweep.corpora import Prompt
from benchmarks.sweep.scoring import Fit
from benchmarks.sweep.timing import DAY

__all__ = ["REPLACED_AFTER", "Sweeper", "Used", "span_of", "sweepers"]

REPLACED_AFTER = DAY // 24
"""µs until a fresh account takes the place of one that failed."""


@dataclass(slots=True)
class Used:
    """What one account of a campaign did.

    Attributes:
        account: The account.
        begun, ended: When it asked first and last, µs; 0 before it asked.
        replaces: The account that it took the place of; empty for the first ones.
        asked: Prompts of the sweep asked.
        obtained: Of these, obtained.
        in_full: Prompts answered at full quality, whatever the price; each counts once.
        disturbed: When a call was first disturbed, µs; 0 for never.
        refused: Whether a call was ever refused.
        first_day: Prompts asked in its first 24 hours, and obtained then.
    """

    account: Account
    begun: int = 0
    ended: int = 0
    replaces: str = ""
    asked: int = 0
    obtained: int = 0
    in_full: int = 0
    disturbed: int = 0
    refused: bool = False
    first_day: list[int] = field(default_factory=lambda: [0, 0])


@dataclass(slots=True)
class Sweeper:
    """One place in a campaign: an account, and those that take its place.

    Attributes:
        scenario: The campaign.
        number: The place's number.
        pending: Prompts not tried yet.
        rhythm: When it asks.
        cover: What it asks as cover, for ever.
        fit: The fit that scores it.
        used: Its accounts; the last one is in use.
        times: When each prompt was obtained, µs.
        answered: Prompts that were answered at full quality, by their `id`.
        quiet: Calls of cover that the account in use has still to make first.
    """

    scenario: Scenario
    number: int
    pending: deque[Prompt]
    rhythm: Rhythm
    cover: Iterator[str]
    fit: Fit
    used: list[Used] = field(default_factory=list[Used])
    times: list[int] = field(default_factory=list[int])
    answered: set[int] = field(default_factory=set[int])
    quiet: int = 0
    tomorrow: list[Prompt] = field(default_factory=list[Prompt])
    failures: int = 0
    failed_days: int = 0
    got: int = 0
    _asks: Prompt | None = None

    @property
    def account(self) -> Account:
        return self.used[-1].account

    @property
    def template(self) -> str:
        return template_of(self.scenario.template, self.number + 1_000 * (len(self.used) - 1))

    def begin(self) -> int:
        """Open the first account, and return when it asks."""
        self._open("")
        return self.rhythm.first()

    def next_text(self) -> str:
        """Return what is asked now."""
        share = self.scenario.cover
        covered = self.quiet or (share and self.rhythm.draw.random() < share)
        self.quiet = max(0, self.quiet - 1)
        if covered:
            self._asks = None
            return next(self.cover)
        self._asks = self.pending.popleft()
        return self._asks.text

    def heard(self, now: int, answer: Answer) -> int | None:
        """Note what a call came to.

        Returns:
            When the next one is sent, µs; None if nothing is left.
        """
        used = self.used[-1]
        used.begun, used.ended = used.begun or now, now
        if answer.disturbed and not used.disturbed:
            used.disturbed = now
        used.refused = used.refused or answer.refused
        if self._asks is not None:
            self._note(now, answer, used, self._asks)
            if self.scenario.replaced and not answer.obtained:
                return self._replace(now)
        if not (self.pending or self.tomorrow):
            return None
        if not self.pending or self._out_of_patience:
            return self._rest(now)
        return max(now + answer.delay, self.rhythm.after(now))

    def _note(self, now: int, answer: Answer, used: Used, asked: Prompt) -> None:
        used.asked += 1
        used.obtained += answer.obtained
        if answer.in_full and id(asked) not in self.answered:
            self.answered.add(id(asked))
            used.in_full += 1
        if now - used.begun < DAY:
            used.first_day[0] += 1
            used.first_day[1] += answer.obtained
        if answer.obtained:
            self.times.append(now)
            self.failures, self.got, self.failed_days = 0, self.got + 1, 0
        else:
            self.tomorrow.append(asked)
            self.failures += 1

    @property
    def _out_of_patience(self) -> bool:
        return self.failures >= PATIENCE[min(self.failed_days, len(PATIENCE) - 1)]

    def _rest(self, now: int) -> int:
        self.failed_days = 0 if self.got else self.failed_days + 1
        self.failures = self.got = 0
        self.pending.extend(self.tomorrow)
        self.tomorrow.clear()
        return self.rhythm.next_day(now)

    def _replace(self, now: int) -> int | None:
        self.pending.extend(self.tomorrow)
        self.tomorrow.clear()
        self.failures = self.failed_days = self.got = 0
        self._open(self.account.name)
        return now + REPLACED_AFTER if self.pending else None

    def _open(self, replaces: str) -> None:
        name = f"campaign {self.number}.{len(self.used)}"
        shared = {self.scenario.shared: "of the campaign"} if self.scenario.shared else {}
        self.quiet = self.scenario.quiet
        self.used.append(Used(Account(name, self.fit, attributes=shared), replaces=replaces))


def sweepers(
    scenario: Scenario, parts: Sequence[Sequence[Prompt]], cover: Sequence[str], fit: Fit
) -> list[Sweeper]:
    """Return the campaign's places.

    Args:
        scenario: The campaign.
        parts: Prompts of each.
        cover: Honest texts that serve as cover; each account begins elsewhere.
        fit: A fit that has not seen the sweep's source.
    """
    found: list[Sweeper] = []
    for number, part in enumerate(parts):
        draw = random.Random(f"campaign {scenario.name} {number}")
        covered = bool(scenario.cover or scenario.quiet)
        begin = draw.randrange(len(cover)) if covered else 0
        texts = cycle([*cover[begin:], *cover[:begin]] if covered else [])
        rhythm = Rhythm(scenario.rhythm, scenario.per_day, draw)
        found.append(Sweeper(scenario, number, deque(part), rhythm, texts, fit))
    return found


def span_of(used: Used, until: int) -> float:
    """Return the days that an account was in use until a moment, at least one."""
    if not used.begun or used.begun > until:
        return 0.0
    return max(1.0, (min(used.ended, until) - used.begun) / DAY)
