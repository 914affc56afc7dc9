"""Plays a history against the ledger, and keeps what came of every call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from querybudget import ledger
from querybudget.ledger import Account, Charge, Decision, Line, Reservation
from querybudget.units import MICRO, Algorithm, Quota
from tests.ledger.strategies import START, Step


@dataclass
class Use:
    """What one admitted call counts for: what it holds, then what it used."""

    at: int
    amount: int
    ends: int
    expires: int


def line(quota: Quota, amount: int = 1, minimum: int | None = None, **more: object) -> Line:
    if quota.algorithm is Algorithm.LEASE:
        amount = minimum = MICRO
    partition, shadow = str(more.get("partition", "a")), bool(more.get("shadow", False))
    return Line(partition, quota, amount, amount if minimum is None else minimum, shadow)


class Player:
    """One account, one quota and a clock."""

    def __init__(self, quota: Quota, now: int = START) -> None:
        self.quota = quota
        self.now = now
        self.accounts = {"a": Account(now)}
        self.uses: list[Use] = []
        self.overshoots: list[Use] = []
        self._count = 0

    def reserve(self, amount: int = 1, minimum: int | None = None, hold: int = 200) -> Decision:
        self._count += 1
        lines = (line(self.quota, amount, minimum),)
        return ledger.reserve(self.accounts, Charge(f"r{self._count}", lines, hold), self.now)

    def settle(self, reservation: Reservation, used: int) -> ledger.Settled:
        return ledger.settle(self.accounts, reservation, (used,), self.now)

    def left(self) -> int:
        return ledger.peek(self.accounts["a"], (self.quota,), self.now)[0][0]

    def play(
        self, history: Sequence[Step], after: Callable[[Decision], None] = lambda _: None
    ) -> None:
        """Play `history`; `after` is called with every decision."""
        open_calls: list[tuple[int, Step, Reservation, Use]] = []
        for index, step in enumerate(history):
            self.now += step.pause
            for call in [call for call in open_calls if call[0] <= index]:
                open_calls.remove(call)
                self._end(*call[1:])
            decision = self.reserve(step.amount, step.minimum)
            held = decision.reservation
            if held:
                use = Use(self.now, held.held[0], held.expires, held.expires)
                self.uses.append(use)
                if step.lasts is not None:
                    open_calls.append((index + 1 + step.lasts, step, held, use))
            after(decision)

    def _end(self, step: Step, reservation: Reservation, use: Use) -> None:
        self.settle(reservation, step.used)
        over = step.used - use.amount
        if over > 0:
            self.overshoots.append(Use(self.now, over, self.now, self.now))
        if self.now < use.expires:
            use.ends = self.now
            use.amount = min(use.amount, step.used)
