"""Overrides on the path of a call: which apply to it, and how its lines change.

The table is made when overrides change, and a call only looks up: the caller's own parts, and those
of its accounts' keys. Without overrides there is no table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

import msgspec
from msgspec.structs import replace

from querybudget.ledger import Charge, Line
from querybudget.ledger.windows import LARGEST_USE
from querybudget.limiter.plans import Caller
from querybudget.overrides import Effect, Override
from querybudget.units import Algorithm, Quota, Unit

CACHED = 4_096
"""Quotas that overrides made, in the cache."""

EVERYONE = "everyone"

PoolOf = Callable[[str, Caller], str]
"""From the name of a partition and a caller to the key of its pool."""

_BLOCK, _ALLOW = Effect.BLOCK, Effect.ALLOW
_BUCKETS = Unit.BUCKETS
_Placed = tuple[int, Override]


class Overridden(msgspec.Struct, frozen=True):
    """What overrides make of one budget of an account.

    Attributes:
        quota: The quota, changed.
        allowed: Whether it refuses nothing, and is counted apart.
        entries: Those that apply, oldest first.
    """

    quota: Quota
    allowed: bool
    entries: tuple[Override, ...]


def overridden(entries: Iterable[Override], quota: Quota, now: int) -> Overridden:
    """Return what overrides make of a quota at a moment.

    One that allows wins over those that change the limit. These follow each other: each changes the
    limit that the one before has made.

    Args:
        entries: Of the account, oldest first.
        quota: Scaled for the tier.
        now: µs since the epoch.
    """
    applying = tuple(
        entry
        for entry in entries
        if entry.effect is not _BLOCK and entry.applies(quota.name, quota.unit, now)
    )
    allowed = any(entry.effect is _ALLOW for entry in applying)
    return Overridden(_changed(quota, applying), allowed, applying)


@lru_cache(CACHED)
def _changed(quota: Quota, entries: tuple[Override, ...]) -> Quota:
    for entry in entries:
        if entry.effect is not _ALLOW:
            quota = entry.changed(quota)
    return quota


@lru_cache(CACHED)
def counted_apart(quota: Quota) -> Quota:
    """Return the quota at which a caller who is allowed is counted, in units other than buckets.

    Nothing is taken from the budget, so nothing is owed once the override has ended, and a pool's
    other members have as much as before. It counts over the budget's window: of a GCRA quota, which
    keeps no window, over the last stretch of its length.
    """
    algorithm = Algorithm.SLIDING if quota.algorithm is Algorithm.GCRA else quota.algorithm
    return replace(quota, limit=LARGEST_USE, burst=LARGEST_USE, algorithm=algorithm, apart=True)


class OverrideTable:
    """Overrides by the part of a key that they name.

    Who is blocked or allowed is so wherever it is charged: by its identity, its pools and its tier.
    A limit is changed only on accounts whose key has the part.

    Args:
        entries: Oldest first; at least one.
        partitions: Names of the policy's partitions.
        pool_of: Says in which pool of a partition a caller is.
    """

    def __init__(
        self, entries: Sequence[Override], partitions: Iterable[str], pool_of: PoolOf
    ) -> None:
        by_part: dict[str, list[_Placed]] = {}
        for placed in enumerate(entries):
            by_part.setdefault(placed[1].account, []).append(placed)
        self._by_part = by_part
        words = {part.partition(":")[0] for part in by_part if ":" in part}
        self._words = tuple(word for word in partitions if word in words)
        self._pool_of = pool_of

    def blocks(self, caller: Caller, now: int) -> bool:
        """Return True if a caller is blocked."""
        return _blocked(self._of(self._parts(caller)), now)

    def applied(self, charge: Charge, caller: Caller, now: int) -> Charge | None:
        """Return a charge with its lines changed; None if one of its accounts is blocked."""
        theirs = [placed for placed in self._of(self._parts(caller)) if placed[1].effect is _ALLOW]
        lines: list[Line] = []
        changed = False
        for line in charge.lines:
            placed = self._of(account_parts(line.partition))
            if placed and _blocked(placed, now):
                return None
            if placed or theirs:
                new = _line(line, [entry for _, entry in sorted({*placed, *theirs})], now)
                changed = changed or new is not line
                line = new  # noqa: PLW2901 - the line as it is charged
            lines.append(line)
        return replace(charge, lines=tuple(lines)) if changed else charge

    def of_account(self, partition: str) -> tuple[Override, ...]:
        """Return the overrides of an account, oldest first, whether they have ended or not."""
        return tuple(entry for _, entry in sorted(self._of(account_parts(partition))))

    def of_caller(self, caller: Caller) -> tuple[Override, ...]:
        """Return the overrides of a caller and its pools, oldest first."""
        return tuple(entry for _, entry in sorted(self._of(self._parts(caller))))

    def _parts(self, caller: Caller) -> list[str]:
        parts = [caller.identity.key, EVERYONE, f"tier:{caller.tier}"]
        return parts + [self._pool_of(word, caller) for word in self._words]

    def _of(self, parts: Iterable[str]) -> list[_Placed]:
        find = self._by_part.get
        return [placed for part in parts for placed in find(part, ())]


def account_parts(partition: str) -> Sequence[str]:
    """Return the parts of an account's key; the whole is one of them."""
    return (partition, *partition.split("|")) if "|" in partition else (partition,)


def _blocked(placed: Iterable[_Placed], now: int) -> bool:
    return any(
        entry.effect is _BLOCK and not (entry.until and now >= entry.until) for _, entry in placed
    )


def _line(line: Line, entries: Sequence[Override], now: int) -> Line:
    found = overridden(entries, line.quota, now)
    if not found.entries:
        return line
    if not found.allowed:
        return replace(line, quota=found.quota)
    if line.quota.unit is _BUCKETS:  # what it makes of the score is seen, as in shadow
        return replace(line, quota=found.quota, shadow=True)
    return replace(line, quota=counted_apart(found.quota), minimum=0, shadow=True)
