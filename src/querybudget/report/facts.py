"""What a report says: facts of a traffic log or a store, without any text of a caller."""

from __future__ import annotations

from collections import Counter

import msgspec

from querybudget.coverage import Reason
from querybudget.traffic.record import TrafficRecord
from querybudget.units import MICRO

MOST_BINS = 240
"""Stretches of time into which a log is cut at most."""

SHORTEST_BIN = 10_000_000
"""µs of a stretch at first; it doubles as the log gets longer."""

ADMITTED = frozenset({"", "admit", "store_error"})
MILD = frozenset({"slow", "degrade"})


class Bins(msgspec.Struct):
    """Amounts over time, in stretches that widen as the log gets longer.

    Attributes:
        width: µs of a stretch.
        amounts: For each name, the number of a stretch to the amount in it.
    """

    width: int = SHORTEST_BIN
    amounts: dict[str, dict[int, float]] = {}

    def add(self, name: str, at: int, amount: float) -> None:
        """Add an amount at a moment."""
        row = self.amounts.setdefault(name, {})
        number = at // self.width
        row[number] = row.get(number, 0) + amount
        if len(row) > MOST_BINS:
            self._widen()

    def _widen(self) -> None:
        self.width *= 2
        for name, row in self.amounts.items():
            wider: dict[int, float] = {}
            for number, amount in row.items():
                wider[number // 2] = wider.get(number // 2, 0) + amount
            self.amounts[name] = wider


class CallerFacts(msgspec.Struct):
    """One caller, added up over a log.

    Attributes:
        account: Key of the identity.
        tier: Its tier at its last call.
        calls: Its calls.
        refused, slowed: Those that were refused, and slowed or degraded.
        shadowed: Those that shadow budgets would have disturbed.
        tokens: Tokens used.
        ground: Buckets newly entered.
        strain: The highest, in millionths.
        price: The highest, in millionths; that of shadow budgets included.
        stage: The most severe, that of shadow budgets included.
        reasons: What the score consisted of when strain was highest.
        by: Budgets to the number of calls that they refused, or would have.
        first, last: When its first and last call were decided, µs.
        disturbed: When it was first disturbed, µs; 0 if it never was.
    """

    account: str
    tier: str = "default"
    calls: int = 0
    refused: int = 0
    slowed: int = 0
    shadowed: int = 0
    tokens: int = 0
    ground: int = 0
    strain: int = 0
    price: int = MICRO
    stage: str = "none"
    reasons: tuple[Reason, ...] = ()
    by: Counter[str] = msgspec.field(default_factory=Counter[str])
    first: int = 0
    last: int = 0
    disturbed: int = 0

    def add(self, record: TrafficRecord) -> None:
        """Add one call."""
        self.calls += 1
        self.tier, self.last = record.tier, record.at
        self.first = self.first or record.at
        refused = is_refused(record)
        self.refused += refused
        self.slowed += not refused and record.stage in MILD
        self.shadowed += bool(record.shadowed) or record.shadow_stage != "none"
        self.by.update((*record.violated, *record.shadowed))
        if (refused or record.stage in MILD) and not self.disturbed:
            self.disturbed = record.at
        if record.usage is not None:
            self.tokens += record.usage.input + record.usage.output
        self.ground += 0 if refused else record.novelty
        self.price = max(self.price, record.price, record.shadow_price)
        self.stage = max(self.stage, record.stage, record.shadow_stage, key=STAGES.index)
        if record.strain >= self.strain:
            self.strain, self.reasons = record.strain, record.reasons or self.reasons


STAGES = ("none", "slow", "degrade", "refuse")


def is_refused(record: TrafficRecord) -> bool:
    """Return True if a call was refused: by a budget, or because the store was down."""
    if record.verdict == "store_error":
        return not record.settlement
    return record.verdict not in ADMITTED


class LogFacts(msgspec.Struct):
    """A traffic log, added up.

    Attributes:
        calls: Calls.
        first, last: When the first and the last were decided, µs.
        used: Use over time, by budget, as far as the log says it.
        units: Requests and tokens over time.
        refused: Calls refused over time, by budget.
        callers: By the key of their identity.
        verdicts: How many calls had each.
        policies: Hashes of the policies that decided.
        texts: Calls whose prompts were logged.
        charged: Whether the log says what budgets were charged.
        problems: Lines that could not be read.
        examples: The first few of them, in words.
    """

    calls: int = 0
    first: int = 0
    last: int = 0
    used: Bins = msgspec.field(default_factory=Bins)
    units: Bins = msgspec.field(default_factory=Bins)
    refused: Bins = msgspec.field(default_factory=Bins)
    callers: dict[str, CallerFacts] = {}
    verdicts: Counter[str] = msgspec.field(default_factory=Counter[str])
    policies: set[str] = set()
    texts: int = 0
    charged: bool = False
    problems: int = 0
    examples: list[str] = []

    def add(self, record: TrafficRecord) -> None:
        """Add one call."""
        self.calls += 1
        self.first = min(self.first or record.at, record.at)
        self.last = max(self.last, record.at)
        self.verdicts[record.verdict or "not decided"] += 1
        if record.policy:
            self.policies.add(record.policy)
        self.texts += bool(record.texts)
        caller = self.callers.get(record.identity)
        if caller is None:
            caller = self.callers[record.identity] = CallerFacts(record.identity)
        caller.add(record)
        self.charged = self.charged or bool(record.charged)
        for budget, amount in record.charged.items():
            self.used.add(budget, record.at, amount / MICRO)
        self.units.add("requests", record.at, not is_refused(record))
        if record.usage is not None:
            self.units.add("tokens", record.at, record.usage.input + record.usage.output)
        for budget in (*record.violated, *record.shadowed):
            self.refused.add(budget, record.at, 1)

    @property
    def refusals(self) -> int:
        """Calls that were refused."""
        return sum(caller.refused for caller in self.callers.values())

    @property
    def sweepers(self) -> list[CallerFacts]:
        """Callers by how far they came in budgets of buckets, the furthest first."""
        strained = [one for one in self.callers.values() if one.strain]
        return sorted(strained, key=lambda one: (-one.strain, one.account))

    @property
    def disturbed(self) -> list[CallerFacts]:
        """Callers who were disturbed, or in shadow would have been: the most disturbed first."""
        found = [one for one in self.callers.values() if one.refused or one.slowed or one.shadowed]
        return sorted(
            found, key=lambda one: (-one.refused - one.slowed, -one.shadowed, one.account)
        )
