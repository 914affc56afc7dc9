"""What became of each caller's calls: told by the server's events and by what the callers saw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from querybudget.events import DecisionEvent
from querybudget.policy.model import Budget
from querybudget.stores import Store
from querybudget.units import MICRO, Unit

__all__ = ["Board", "Row"]


@dataclass
class Row:
    """One caller.

    Attributes:
        name: What it is called on the screen.
        asks: What it does, in a few words.
        key: Of its identity.
        sent: Calls sent.
        admitted: Calls let through.
        refused: Calls refused, by budget.
        tokens: Tokens settled.
        left: By unit: what is left of its own smallest budget, µ-units.
        spent: By unit: what is used of that budget, µ-units.
        price: The factor that its last call was charged, in millionths.
        stage: What was done to its last call: ``none``, ``slow``, ``degrade`` or ``refuse``.
        stages: How many calls each of the last three was done to.
        last: The last thing that happened.
    """

    name: str
    asks: str
    key: str
    sent: int = 0
    admitted: int = 0
    refused: Counter[str] = field(default_factory=Counter[str])
    tokens: int = 0
    left: dict[Unit, int] = field(default_factory=dict[Unit, int])
    spent: dict[Unit, int] = field(default_factory=dict[Unit, int])
    price: int = MICRO
    stage: str = "none"
    stages: Counter[str] = field(default_factory=Counter[str])
    last: str = ""


class Board:
    """All callers.

    Args:
        budgets: The policy's.
        note: Called with a caller's name and what happened to it.
    """

    def __init__(self, budgets: Sequence[Budget], note: Callable[[str, str], None]) -> None:
        self.rows: dict[str, Row] = {}
        self._by_key: dict[str, Row] = {}
        own = [budget.quota for budget in budgets if budget.per == ("identity",)]
        self._shown = [q for q in own if q.unit in {Unit.TOKENS, Unit.USD, Unit.BUCKETS}]
        self._note = note

    def add(self, row: Row) -> None:
        """Make room for a caller."""
        self.rows[row.name] = self._by_key[row.key] = row

    def say(self, name: str, text: str) -> None:
        """Something happened to a caller. What happens again and again is told once."""
        row = self.rows[name]
        if row.last != text:
            row.last = text
            self._note(name, text)

    def hear(self, event: DecisionEvent) -> None:
        """The server's side: a hook of its limiter."""
        row = self._by_key.get(event.identity.key)
        if row is None:
            return
        self._follow(row, event)
        if event.verdict != "admit":
            row.refused[", ".join(event.violated) or event.verdict] += 1
            return
        row.admitted += 1
        if event.usage is not None:
            row.tokens += event.usage.input + event.usage.output
            if event.usage.estimated:
                self._tell_estimate(row, event)

    def _follow(self, row: Row, event: DecisionEvent) -> None:
        """What coverage made of a call: told when it changes."""
        if event.stage != "none":
            row.stages[event.stage] += 1
        if event.stage != row.stage:
            row.stage = event.stage
            why = ", ".join(reason.signal for reason in event.reasons if reason.share > 0)
            told = f"stage {event.stage}, at a price of {event.price / MICRO:.1f}"
            self._note(row.name, f"{told}, for its {why}" if why else told)
        row.price = event.price

    def _tell_estimate(self, row: Row, event: DecisionEvent) -> None:
        used, held = event.usage, event.expected
        if used is not None and used.output < held.output:
            self.say(
                row.name,
                f"settled at the {used.output} tokens that were sent; {held.output} were held",
            )

    async def refresh(self, store: Store) -> None:
        """Look up what each caller has left."""
        for row in self.rows.values():
            rooms = await store.peek(row.key, self._shown)
            for quota, (room, _) in zip(self._shown, rooms, strict=True):
                row.left[quota.unit] = room
                row.spent[quota.unit] = quota.limit - room
