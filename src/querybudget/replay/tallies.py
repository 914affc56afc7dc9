"""Counts what happens in a replay, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import nlargest

from querybudget.coverage import Stage
from querybudget.ledger import UNCHARGED, Decision
from querybudget.limiter import Admission, Refusal
from querybudget.replay.results import CallerCount, Changed, Count, Happening, Played
from querybudget.units import MICRO, NO_TIME, Micros

MOST_CALLERS = 1_000_000
"""Identities that are counted exactly; those after them count as known ones."""

MOST = 10
"""Identities that are named for each thing that happened."""

BLOCKED, NO_PRICE = "(blocked)", "(no price)"
"""In place of a budget's name: the caller is blocked, or the model has no price."""


_NAMES = tuple(Happening)
_DISTURBED = frozenset({Happening.REFUSED, Happening.SLOWED, Happening.DEGRADED, Happening.PRICED})


class Tally:
    """How often one thing happened, when, and to whom."""

    __slots__ = ("callers", "calls", "first", "last")

    def __init__(self) -> None:
        self.calls = 0
        self.first = self.last = NO_TIME
        self.callers: dict[str, int] = {}

    def add(self, at: int, identity: str) -> None:
        """Count a call."""
        if not self.calls:
            self.first = Micros(at)
        self.last = Micros(at)
        self.calls += 1
        callers = self.callers
        if identity in callers:
            callers[identity] += 1
        elif len(callers) < MOST_CALLERS:
            callers[identity] = 1

    @property
    def most(self) -> tuple[CallerCount, ...]:
        """The identities with most calls; of equals, in the order of their keys."""
        found = nlargest(MOST, self.callers.items(), key=lambda item: (item[1], item[0]))
        return tuple(CallerCount(*item) for item in found)


class Tallies:
    """What one policy does in a replay.

    Args:
        policy: Its source.

    Attributes:
        calls, unlimited, disturbed, agreed, differed: As in `Played`.
        callers: Identities seen.
        callers_disturbed: Identities ever refused, slowed, degraded or priced above 1.
    """

    def __init__(self, policy: str) -> None:
        self._policy = policy
        self.calls = self.unlimited = self.disturbed = self.agreed = self.differed = 0
        self.callers = set[str]()
        self.callers_disturbed = set[str]()
        self._tallies: dict[tuple[Happening, str], Tally] = {}

    def add(self, at: int, identity: str, admission: Admission | None) -> frozenset[Happening]:
        """Count a call, and return what happened to it."""
        self.calls += 1
        if len(self.callers) < MOST_CALLERS:
            self.callers.add(identity)
        if admission is None:
            self.unlimited += 1
            return _NOTHING
        if is_ordinary(admission):
            return _NOTHING
        found = list(_happened(admission))
        kinds = frozenset([what for what, _ in found])
        for key in (*found, *((what, "") for what in kinds)):
            tally = self._tallies.get(key)
            if tally is None:
                tally = self._tallies[key] = Tally()
            tally.add(at, identity)
        if not _DISTURBED.isdisjoint(kinds):
            self.disturbed += 1
            self.callers_disturbed.add(identity)
        return kinds

    def result(self, not_replayed: dict[str, str], caveats: tuple[str, ...]) -> Played:
        """Return what was counted."""
        counts = [self._count(*key, tally) for key, tally in self._tallies.items()]
        counts.sort(key=lambda count: (_NAMES.index(count.what), -count.calls, count.budget))
        return Played(
            policy=self._policy,
            calls=self.calls,
            unlimited=self.unlimited,
            callers=len(self.callers),
            disturbed=self.disturbed,
            callers_disturbed=len(self.callers_disturbed),
            totals=tuple(count for count in counts if not count.budget),
            budgets=tuple(count for count in counts if count.budget),
            agreed=self.agreed,
            differed=self.differed,
            not_replayed=not_replayed,
            caveats=caveats,
        )

    def _count(self, what: Happening, budget: str, tally: Tally) -> Count:
        return Count(
            what=what,
            budget=budget,
            calls=tally.calls,
            callers=len(tally.callers),
            share=percent(tally.calls, self.calls),
            callers_share=percent(len(tally.callers), len(self.callers)),
            first=tally.first,
            last=tally.last,
            most=tally.most,
        )


class Change:
    """Calls that one of two policies treats otherwise."""

    def __init__(self) -> None:
        self._tally = Tally()
        self._budgets: dict[str, int] = {}

    def add(self, at: int, identity: str, admission: Admission | None, what: Happening) -> None:
        """Count a call, by the admission of the policy that did something to it."""
        self._tally.add(at, identity)
        if admission is not None:
            for found, budget in _happened(admission):
                if found is what:
                    self._budgets[budget] = self._budgets.get(budget, 0) + 1

    def result(self) -> Changed:
        """Return what was counted."""
        tally = self._tally
        budgets = dict(sorted(self._budgets.items(), key=lambda item: (-item[1], item[0])))
        return Changed(tally.calls, len(tally.callers), budgets, tally.first, tally.most)


_NOTHING = frozenset[Happening]()


def percent(part: int, whole: int) -> float:
    """Return a share in percent, to six places."""
    return round(100 * part / whole, 6) if whole else 0.0


def is_ordinary(admission: Admission) -> bool:
    """Return True if nothing happened to a call: it was admitted, at once, at the usual price."""
    decision = admission.decision
    if decision is None or decision.reservation is None:
        return False
    if admission.plan.counts_buckets and (
        decision.price != MICRO
        or admission.stage
        or decision.shadow_stage
        or decision.shadow_price != MICRO
    ):
        return False
    return UNCHARGED not in decision.reservation.held


def _happened(admission: Admission) -> Iterator[tuple[Happening, str]]:
    """What happened to a call, and by which budgets."""
    decision = admission.decision
    if decision is None:
        if admission.refusal is not None:
            blocked = admission.refusal is Refusal.BLOCKED
            yield Happening.REFUSED, BLOCKED if blocked else NO_PRICE
        return
    yield from ((Happening.REFUSED, name) for name in dict.fromkeys(decision.violated))
    yield from ((Happening.WOULD_REFUSE, name) for name in dict.fromkeys(decision.shadowed))
    if admission.plan.counts_buckets:
        yield from _of_buckets(admission, decision)


def _of_buckets(admission: Admission, decision: Decision) -> Iterator[tuple[Happening, str]]:
    if admission.refusal is None:
        enforced = _strained(decision, shadow=False)
        if admission.stage:
            slowed = admission.stage is Stage.SLOW
            what = Happening.SLOWED if slowed else Happening.DEGRADED
            yield from ((what, name) for name in enforced)
        if decision.price != MICRO:
            yield from ((Happening.PRICED, name) for name in enforced)
    shadow = _strained(decision, shadow=True)
    if decision.shadow_stage:
        yield from ((Happening.WOULD_SLOW, name) for name in shadow)
    if decision.shadow_price != MICRO:
        yield from ((Happening.WOULD_PRICE, name) for name in shadow)


def _strained(decision: Decision, *, shadow: bool) -> tuple[str, ...]:
    """Names of the budgets in buckets with the highest strain: they set price and stage."""
    lines = [
        status
        for status in decision.lines
        if status.line.response is not None and status.line.shadow is shadow
    ]
    most = max((status.strain for status in lines), default=0)
    return tuple(dict.fromkeys(status.line.quota.name for status in lines if status.strain == most))
