"""What a caller leaves behind that may link it with others: when it calls, and what it declares.

Linking reads it beside the path of calls; no score depends on it. It is kept only where a policy
links accounts. It holds hashes and times, and takes less than 100 bytes.
"""

from __future__ import annotations

from zlib import crc32

import msgspec

MINUTE = 60_000_000

BIN = 15 * MINUTE
"""µs of one bin of activity."""

BINS = 256
"""Bins that are kept: the last 64 hours."""

PAUSE = 24 * 60
"""Minutes without a call after which a caller begins anew."""

MARKS = 8
"""Declared attributes that are kept: the first ones, whatever the account declares later."""

KIND_BITS = 3
MARK_BITS = 29
"""A mark is the number of its attribute in the policy, then a keyed hash."""

_BYTES = 4


class Trace(msgspec.Struct, array_like=True):
    """When one caller calls, and what it declares.

    Attributes:
        marks: Its marks, four bytes each, in the order in which they were seen.
        active: Bitmap of the bins in which it called; bin b is bit ``b % BINS``.
        last: The last of these bins, counted from the epoch; 0 before the first.
        began: When it made its first call, or the first after a `PAUSE`; minutes since the epoch.
        slowed: When a budget first slowed it after that; minutes since the epoch, 0 if none has.
    """

    marks: bytes = b""
    active: bytes = b""
    last: int = 0
    began: int = 0
    slowed: int = 0

    def __post_init__(self) -> None:
        """Refuse what was stored and is damaged."""
        if len(self.marks) % _BYTES or len(self.marks) > _BYTES * MARKS:
            raise ValueError("expected a trace's marks")
        if len(self.active) not in {0, BINS // 8} or min(self.last, self.began, self.slowed) < 0:
            raise ValueError("expected a trace's times")

    def note(self, marks: tuple[int, ...], now: int) -> None:
        """Note a call.

        Args:
            marks: What its caller declares.
            now: µs since the epoch.
        """
        minute, here = now // MINUTE, now // BIN
        if not self.began or here - self.last > PAUSE * MINUTE // BIN:
            self.began, self.slowed = minute, 0
        self.active = _entered(self.active, self.last, here)
        self.last = max(here, self.last)
        for mark in marks:
            packed = mark.to_bytes(_BYTES, "big")
            if len(self.marks) < _BYTES * MARKS and mark not in self.declared:
                self.marks += packed

    def slow(self, now: int) -> None:
        """Note that a budget slows the caller."""
        self.slowed = self.slowed or now // MINUTE

    @property
    def declared(self) -> tuple[int, ...]:
        """The marks, as numbers."""
        kept = self.marks
        return tuple(
            int.from_bytes(kept[at : at + _BYTES], "big") for at in range(0, len(kept), _BYTES)
        )

    def bins(self) -> frozenset[int]:
        """Return the bins in which it called, counted from the epoch."""
        bitmap, last = int.from_bytes(self.active, "little"), self.last
        return frozenset(
            at for at in range(max(0, last - BINS + 1), last + 1) if bitmap >> at % BINS & 1
        )


def mark_of(attribute: int, pool: str) -> int:
    """Return the mark of what a caller declares.

    Args:
        attribute: Number of the attribute in the policy.
        pool: Names its value, by a keyed hash.
    """
    kind = attribute % (1 << KIND_BITS)
    return kind << MARK_BITS | crc32(pool.encode()) >> (32 - MARK_BITS)


def _entered(active: bytes, last: int, here: int) -> bytes:
    """Return a bitmap with one more bin, and without those that are `BINS` older."""
    bitmap = int.from_bytes(active, "little")
    if here - last >= BINS:
        bitmap = 0
    for passed in range(last + 1, here) if here - last < BINS else ():
        bitmap &= ~(1 << passed % BINS)
    if here > last - BINS:  # a clock that went back by more says nothing
        bitmap |= 1 << here % BINS
    return bitmap.to_bytes(BINS // 8, "little")
