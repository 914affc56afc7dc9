"""Units, windows and quotas: how much, of what, in how long.

Amounts are integers in millionths of their unit (µ-units): one request is 1_000_000, one token,
one US dollar and one bucket too. Times are integers in microseconds since the Unix epoch. Nothing
here reads a clock.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from typing import NewType

import msgspec
from msgspec.structs import force_setattr

__all__ = [
    "MICRO",
    "NO_TIME",
    "ORDINARY_PRICE",
    "SECOND",
    "Algorithm",
    "Bounds",
    "MicroUnits",
    "Micros",
    "Millionths",
    "Period",
    "Quota",
    "Unit",
    "priced",
]

Micros = NewType("Micros", int)
"""A time in microseconds: a length, or a moment since the Unix epoch."""

MicroUnits = NewType("MicroUnits", int)
"""An amount in millionths of a quota's unit: `MICRO` of them are one request, token or dollar."""

Millionths = NewType("Millionths", int)
"""A price, share, strain or score in millionths: 1_000_000 is 1, or 100 %."""

MICRO = 1_000_000
"""µ-units in one unit, and the factor of a price: a price of ``MICRO`` is 1."""

SECOND = 1_000_000
"""Microseconds in a second."""

NO_TIME = Micros(0)
"""No wait and no delay."""

ORDINARY_PRICE = Millionths(MICRO)
"""The price of a call that costs neither more nor less: 1."""

SLOTS = 60
"""Slots of a sliding window: a minute is kept by the second, an hour by the minute."""

Bounds = Callable[[int], tuple[int, int]]
"""Maps a moment in µs to the (start, end) in µs of the calendar period that contains it; pure."""


class Unit(enum.StrEnum):
    """What a quota counts."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    INPUT_TOKENS = "input_tokens"
    OUTPUT_TOKENS = "output_tokens"
    USD = "usd"
    CONCURRENT = "concurrent"
    BUCKETS = "buckets"
    """Buckets of the codebook that calls newly enter."""


class Algorithm(enum.StrEnum):
    """How a window is kept."""

    SLIDING = "sliding"
    """No stretch of one window's length ever has more than the limit."""
    GCRA = "gcra"
    """A burst at once, then an even rate (generic cell rate algorithm, ITU-T I.371)."""
    CALENDAR = "calendar"
    """Fresh at midnight, on Monday or on the 1st, in a time zone."""
    LEASE = "lease"
    """How many calls may be open at the same time; there is no window."""


class Period(enum.StrEnum):
    """The time that a limit is for."""

    SECOND = "second"
    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"

    @property
    def length(self) -> int:
        """Its length in µs; a month is 30 days and a year 365."""
        return _LENGTHS[self]


_LENGTHS = {
    Period.SECOND: SECOND,
    Period.MINUTE: 60 * SECOND,
    Period.HOUR: 3_600 * SECOND,
    Period.DAY: 86_400 * SECOND,
    Period.WEEK: 7 * 86_400 * SECOND,
    Period.MONTH: 30 * 86_400 * SECOND,
    Period.YEAR: 365 * 86_400 * SECOND,
}


class Quota(msgspec.Struct, frozen=True):
    """A limit and its window in one unit.

    `rate`, `slot`, `capacity` and `key` follow from the others: what is passed for them is ignored.

    Attributes:
        name: The budget's name; the key of its state within a partition.
        unit: What is counted.
        limit: µ-units allowed per window, above zero.
        window: Length in µs; 0 for leases. For calendar windows the nominal length, used only in
            headers.
        algorithm: How the window is kept.
        burst: µ-units a GCRA quota admits at once; equals ``limit`` unless the policy says
            otherwise.
        bounds: The calendar's periods; None for every other algorithm.
        rate: ``(units, time)``, the refill ``limit / window`` in lowest terms (µ-units, µs).
        slot: Length in µs of the slots in which a sliding window keeps what was used.
        capacity: The most that one call can ever be granted, in µ-units.
        key: Name of the quota's state within an account; a change of algorithm changes it, so that
            the state starts empty.
        apart: Whether this counts beside the quota of the same name, in a state of its own, and is
            charged even where shadow lines are not. It has no limit that a call could reach.
    """

    name: str
    unit: Unit
    limit: int
    window: int
    algorithm: Algorithm
    burst: int
    bounds: Bounds | None = None
    rate: tuple[int, int] = (0, 0)
    slot: int = 0
    capacity: int = 0
    key: str = ""
    apart: bool = False

    def __post_init__(self) -> None:
        shared = math.gcd(self.limit, self.window) if self.window else 1
        force_setattr(self, "rate", (self.limit // shared, self.window // shared))
        force_setattr(self, "slot", max(1, -(-self.window // SLOTS)))
        gcra = self.algorithm is Algorithm.GCRA
        force_setattr(self, "capacity", self.burst if gcra else self.limit)
        beside = "+" if self.apart else ""
        force_setattr(self, "key", f"{self.algorithm}{beside}:{self.name}")

    def scaled(self, factor: int, of: int = MICRO) -> Quota:
        """Return this quota with limit and burst times `factor`, at least one µ-unit.

        Leases, requests and buckets are kept whole: at least one.

        Args:
            factor: How many parts.
            of: How many parts the whole has: millionths unless given.
        """
        whole = self.unit in {Unit.REQUESTS, Unit.CONCURRENT, Unit.BUCKETS}
        least = MICRO if whole else 1

        def scale(amount: int) -> int:
            scaled = amount * factor // of
            return max(least, scaled // MICRO * MICRO if whole else scaled)

        return msgspec.structs.replace(self, limit=scale(self.limit), burst=scale(self.burst))


def priced(amount: int, price: int) -> int:
    """Return `amount` at a price in millionths, rounded up."""
    return -(-amount * price // MICRO)
