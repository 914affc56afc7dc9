"""When the accounts of a campaign ask: µs on the virtual clock."""

from __future__ import annotations

import random
from dataclasses import dataclass

from benchmarks.sweep.timing import BEGIN, DAY

__all__ = ["RHYTHMS", "Rhythm"]

RHYTHMS = ("jittered", "hours", "synchronised")
HOUR = DAY // 24
OPENS, CLOSES = 9 * HOUR, 17 * HOUR


@dataclass(slots=True)
class Rhythm:
    """The rhythm of one account.

    Attributes:
        kind: ``jittered``: round the clock, at gaps that vary by half; ``hours``: the same from 9
            to 17 o'clock; ``synchronised``: all accounts at the same moments.
        per_day: Calls a day.
        draw: The account's own chance.
        begun: When it first asked, or will; its days begin then.
    """

    kind: str
    per_day: float
    draw: random.Random
    begun: int = BEGIN

    def first(self, begin: int = BEGIN) -> int:
        """Return when the account first asks: within a day, unless all ask at the same moment."""
        if self.kind == "synchronised":
            return begin
        if self.kind == "hours":
            midnight = begin - (begin - BEGIN) % DAY
            at = midnight + OPENS + int(self.draw.random() * (CLOSES - OPENS))
            return at if at >= begin else at + DAY
        self.begun = begin + int(self.draw.random() * DAY)
        return self.begun

    def after(self, now: int) -> int:
        """Return when it asks next."""
        if self.kind == "synchronised":
            return now + int(DAY / self.per_day)
        if self.kind == "hours":
            at = now + int((CLOSES - OPENS) / self.per_day * self.draw.uniform(0.5, 1.5))
            return at if (at - BEGIN) % DAY < CLOSES else self.next_day(now)
        return now + int(DAY / self.per_day * self.draw.uniform(0.5, 1.5))

    def next_day(self, now: int) -> int:
        """Return when it asks first on its next day."""
        if self.kind != "hours":
            return now + DAY - (now - self.begun) % DAY
        midnight = now - (now - BEGIN) % DAY
        return midnight + DAY + OPENS + int(self.draw.random() * HOUR)
