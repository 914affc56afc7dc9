"""What became of each caller's calls: told by the server's events and by what the callers saw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from querybudget.events import DecisionEvent
from querybudget.policy.types import Budget
from querybudget.quota import Unit
from querybudget.stores import Store

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
        self._shown = [q for q in own if q.unit in {Unit.TOKENS, Unit.USD}]
        self._note = note

    def add(self, row: Row) -> None:
        """Make room for a caller."""
        self.rows[row.name] = self._by_key[row.key] = row

    def say(self, name: str, text: str) -> None:
        """Something happened to a caller."""
        self.rows[name].last = text
        self._note(name, text)

    def hear(self, event: DecisionEvent) -> None:
        """The server's side: a hook of its limiter."""
        row = self._by_key.get(event.identity.key)
        if row is None:
            return
        if event.verdict != "admit":
            row.refused[", ".join(event.violated) or event.verdict] += 1
            return
        row.admitted += 1
        if event.usage is not None:
            row.tokens += event.usage.input + event.usage.output
            if event.usage.estimated:
                self._tell_estimate(row, event)

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
