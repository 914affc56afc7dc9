"""What a replay found, as values: for tables, for JSON, and for expressions."""

from __future__ import annotations

import enum

import msgspec

from querybudget.traffic.recognising import too_little
from querybudget.units import NO_TIME, Micros


class Happening(enum.StrEnum):
    """What a budget does to a call."""

    REFUSED = "refused"
    SLOWED = "slowed"
    DEGRADED = "degraded"
    PRICED = "priced"
    """It is charged more than the ordinary price."""
    WOULD_REFUSE = "would_refuse"
    """A shadow budget would have refused it, alone: what it refuses is not charged to it."""
    WOULD_SLOW = "would_slow"
    """A shadow budget would have slowed or degraded it, or refused it as abnormal."""
    WOULD_PRICE = "would_price"
    """A shadow budget would have raised its price."""


class CallerCount(msgspec.Struct, frozen=True):
    """How many calls of one identity something happened to."""

    identity: str
    calls: int


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """How often something happened.

    Attributes:
        what: What.
        budget: By which budget; empty for all of them together.
        calls: Calls that it happened to.
        callers: Identities that it ever happened to.
        share: Share of all calls, in percent.
        callers_share: Share of all identities, in percent.
        first, last: When it happened first and last, µs since the epoch.
        most: The identities that it happened to most often.
    """

    what: Happening
    budget: str = ""
    calls: int = 0
    callers: int = 0
    share: float = 0.0
    callers_share: float = 0.0
    first: Micros = NO_TIME
    last: Micros = NO_TIME
    most: tuple[CallerCount, ...] = ()


class Played(msgspec.Struct, frozen=True, kw_only=True):
    """What one policy did to the calls of a log.

    Attributes:
        policy: Its source.
        calls: Calls decided, those that no budget applies to included.
        unlimited: Calls that no budget applies to.
        callers: Identities.
        disturbed: Calls refused, slowed or degraded, or priced above 1.
        callers_disturbed: Identities that this ever happened to.
        totals: What happened, by any budget.
        budgets: What happened, by budget.
        agreed: Calls that the log has a verdict about, and that were decided as there.
        differed: Those that were decided otherwise.
        not_replayed: Budgets that could not be replayed, and why.
        caveats: What else the log does not say.
    """

    policy: str
    calls: int = 0
    unlimited: int = 0
    callers: int = 0
    disturbed: int = 0
    callers_disturbed: int = 0
    totals: tuple[Count, ...] = ()
    budgets: tuple[Count, ...] = ()
    agreed: int = 0
    differed: int = 0
    not_replayed: dict[str, str] = {}
    caveats: tuple[str, ...] = ()


class Changed(msgspec.Struct, frozen=True):
    """Calls that one policy refuses and the other does not.

    Attributes:
        calls: How many.
        callers: Of how many identities.
        budgets: How many by each budget of the policy that refuses.
        first: When the first was decided, µs since the epoch.
        most: The identities with most of them.
    """

    calls: int = 0
    callers: int = 0
    budgets: dict[str, int] = {}
    first: Micros = NO_TIME
    most: tuple[CallerCount, ...] = ()


class Difference(msgspec.Struct, frozen=True):
    """What a second policy does otherwise.

    Attributes:
        newly_refused: Calls that only the second refuses.
        no_longer_refused: Calls that only the first refuses.
        newly_slowed: Calls that only the second slows or degrades.
        no_longer_slowed: Calls that only the first slows or degrades.
        newly_priced: Calls that only the second charges more than the ordinary price.
        no_longer_priced: Calls that only the first does.
    """

    newly_refused: Changed = Changed()
    no_longer_refused: Changed = Changed()
    newly_slowed: Changed = Changed()
    no_longer_slowed: Changed = Changed()
    newly_priced: Changed = Changed()
    no_longer_priced: Changed = Changed()


class PassedOver(msgspec.Struct, frozen=True):
    """A line of the log that could not be replayed, and why."""

    file: str
    line: int
    problem: str


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay found.

    Attributes:
        logs: The files.
        first, last: Times of the first and last record, µs since the epoch.
        malformed: Lines that are no record.
        problems: The first of them.
        late: Records that came too late in the log to be put in order.
        interrupted: Whether it was ended before the end of the log.
        policy: What the policy did.
        against: What the policy it is compared with did; None without one.
        difference: What that one did otherwise.
    """

    logs: tuple[str, ...]
    first: Micros = NO_TIME
    last: Micros = NO_TIME
    malformed: int = 0
    problems: tuple[PassedOver, ...] = ()
    late: int = 0
    interrupted: bool = False
    policy: Played
    against: Played | None = None
    difference: Difference | None = None

    @property
    def unreadable(self) -> str:
        """What is wrong with a log of which most could not be read; empty if enough was."""
        first = next((f"{one.file}:{one.line}: {one.problem}" for one in self.problems), "")
        wrong = too_little(self.policy.calls + self.late, self.malformed, first)
        return f"{', '.join(self.logs)}: {wrong}" if wrong and self.logs else wrong
