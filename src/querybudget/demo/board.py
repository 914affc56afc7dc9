"""What happens to each caller's calls, from the server's events and the callers' answers."""

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
        name: Its name on the screen.
        asks: What it does, in a few words.
        key: The key of its identity.
        sent: Calls sent.
        admitted: Calls admitted.
        refused: Calls refused, by budget.
        tokens: Tokens settled.
        left: What is left of its smallest budget of each unit, µ-units.
        spent: What is used of that budget, µ-units.
        price: The price of its last call, in millionths.
        stage: The stage of its last call: ``none``, ``slow``, ``degrade`` or ``refuse``.
        stages: Number of calls at each stage but ``none``.
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
        budgets: The policy's budgets.
        note: Called with a caller's name and what happened to it.
    """

    def __init__(self, budgets: Sequence[Budget], note: Callable[[str, str], None]) -> None:
        self.rows: dict[str, Row] = {}
        self._by_key: dict[str, Row] = {}
        own = [budget.quota for budget in budgets if budget.per == ("identity",)]
        self._shown = [q for q in own if q.unit in {Unit.TOKENS, Unit.USD, Unit.BUCKETS}]
        self._note = note

    def add(self, row: Row) -> None:
        """Add a caller."""
        self.rows[row.name] = self._by_key[row.key] = row

    def say(self, name: str, text: str) -> None:
        """Note what happened to a caller, once if it is repeated."""
        row = self.rows[name]
        if row.last != text:
            row.last = text
            self._note(name, text)

    def on_event(self, event: DecisionEvent) -> None:
        """Count a decision: a hook of the server's limiter."""
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
                self._note_estimate(row, event)

    def _follow(self, row: Row, event: DecisionEvent) -> None:
        """Note the call's stage when it changes."""
        if event.stage != "none":
            row.stages[event.stage] += 1
        if event.stage != row.stage:
            row.stage = event.stage
            why = ", ".join(reason.signal for reason in event.reasons if reason.share > 0)
            text = f"stage {event.stage}, at a price of {event.price / MICRO:.1f}"
            self._note(row.name, f"{text}, because of {why}" if why else text)
        row.price = event.price

    def _note_estimate(self, row: Row, event: DecisionEvent) -> None:
        used, held = event.usage, event.expected
        if used is not None and used.output < held.output:
            self.say(
                row.name,
                f"settled at the {used.output} tokens that were sent; {held.output} were reserved",
            )

    async def refresh(self, store: Store) -> None:
        """Look up what each caller has left."""
        for row in self.rows.values():
            figures = await store.peek(row.key, self._shown)
            for quota, (left, _) in zip(self._shown, figures, strict=True):
                row.left[quota.unit] = left
                row.spent[quota.unit] = quota.limit - left
