"""What a store knows of a caller, and what a tier asks of it."""

from __future__ import annotations

from msgspec import Struct

from querybudget.units import Micros, MicroUnits


class History(Struct, frozen=True):
    """What the store knows of a caller.

    Attributes:
        since: When its account was made, µs since the epoch; 0 for a newcomer, who has none.
        calls: Calls that were answered within a year.
        spent: What these cost, µ-dollars.
        troubled: When a budget of its own last slowed, degraded or refused it for what it covers,
            µs; 0 for never.
    """

    since: Micros = Micros(0)
    calls: int = 0
    spent: MicroUnits = MicroUnits(0)
    troubled: Micros = Micros(0)

    def age(self, now: int) -> int:
        """Return the µs since the caller was first seen; 0 for a newcomer."""
        return max(0, now - self.since) if self.since else 0

    def clean(self, now: int) -> int:
        """Return the µs since the caller was last in trouble, or since it was first seen."""
        return min(self.age(now), now - self.troubled) if self.troubled else self.age(now)

    @classmethod
    def at(
        cls, now: int, *, age: int = 0, calls: int = 0, spent: int = 0, clean: int | None = None
    ) -> History:
        """Return the history that a caller has at a moment, as the other arguments describe it.

        Args:
            now: The moment, µs since the epoch.
            age: µs since it was first seen; at least `clean`.
            calls: Calls answered within a year.
            spent: µ-dollars that they cost.
            clean: µs since it was last in trouble; None for never.
        """
        since = now - max(age, clean or 0, 1)
        troubled = 0 if clean is None else max(now - clean, since)
        return cls(Micros(since), calls, MicroUnits(spent), Micros(troubled))


NEWCOMER = History()
"""The history of a caller that the store does not know, or while the store does not answer."""


class Span(Struct, frozen=True):
    """The values that a tier accepts.

    Attributes:
        at_least: The least of them.
        below: The first that is too much; 0 for none.
    """

    at_least: int = 0
    below: int = 0

    def holds(self, value: int) -> bool:
        """Return True if a value is accepted."""
        return value >= self.at_least and not 0 < self.below <= value


class HistoryRule(Struct, frozen=True):
    """What a tier asks of a caller's history: each part that is given must hold.

    Attributes:
        age: µs since the caller was first seen.
        calls: Calls answered within a year.
        spent: µ-dollars that they cost.
        clean: µs since a budget of its own last slowed, degraded or refused it.
    """

    age: Span | None = None
    calls: Span | None = None
    spent: Span | None = None
    clean: Span | None = None

    def holds(self, history: History, now: int) -> bool:
        """Return True if a caller with this history is accepted.

        Args:
            history: What the store knows of it.
            now: µs since the epoch.
        """
        return (
            (self.age is None or self.age.holds(history.age(now)))
            and (self.calls is None or self.calls.holds(history.calls))
            and (self.spent is None or self.spent.holds(history.spent))
            and (self.clean is None or self.clean.holds(history.clean(now)))
        )
